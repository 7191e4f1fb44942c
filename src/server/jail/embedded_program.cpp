// Takes the program in as the assembler does.
#include "server/jail/embedded_program.hpp"

asm(R"(
    .pushsection .rodata
    .balign 16
    .global bitdotio_import_reader_begin
    .hidden bitdotio_import_reader_begin
bitdotio_import_reader_begin:
    .incbin ")" IMPORT_READER_FILE R"("
    .global bitdotio_import_reader_end
    .hidden bitdotio_import_reader_end
bitdotio_import_reader_end:
    .byte 0
    .popsection
)");

extern "C" {
extern const char bitdotio_import_reader_begin[];
extern const char bitdotio_import_reader_end[];
}

namespace bitdotio {

std::string_view embedded_import_reader() noexcept {
    return {bitdotio_import_reader_begin, bitdotio_import_reader_end};
}

}  // namespace bitdotio
