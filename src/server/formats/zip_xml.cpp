// Unpacks with minizip and parses with expat.
#include "server/formats/zip_xml.hpp"

#include <bitdotio/error.hpp>

#include <expat.h>
#include <unzip.h>

#include <exception>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::uint64_t largest_part = std::uint64_t{4} << 30;
constexpr std::uint64_t harmless = 64 * 1024 * 1024;  // however small its packed form
constexpr std::uint64_t steepest = 500;
constexpr int deepest = 100;
constexpr int piece_size = 64 * 1024;
// Expat begins a tag that has not ended anew with each piece.
constexpr int longest_markup = 4;  // pieces

/// The place in an open file from which minizip reads.
struct archive_stream {
    input_handle file;
    std::uint64_t at = 0;
};

archive_stream& stream_of(voidpf stream) {
    return *static_cast<archive_stream*>(stream);
}

// Minizip's functions of files, on the file that is open already.
zlib_filefunc64_def functions_on(archive_stream& stream) {
    zlib_filefunc64_def functions{};
    functions.opaque = &stream;
    functions.zopen64_file = [](voidpf opaque, const void*, int) { return opaque; };
    functions.zread_file = [](voidpf, voidpf from, void* into, uLong size) -> uLong {
        archive_stream& self = stream_of(from);
        try {
            const auto got = self.file->read_at(self.at, static_cast<char*>(into), size);
            self.at += got;
            return static_cast<uLong>(got);
        } catch (const error&) {  // exceptions must not pass through a C library
            return 0;
        }
    };
    functions.zwrite_file = [](voidpf, voidpf, const void*, uLong) -> uLong { return 0; };
    functions.ztell64_file = [](voidpf, voidpf from) -> ZPOS64_T { return stream_of(from).at; };
    functions.zseek64_file = [](voidpf, voidpf from, ZPOS64_T offset, int origin) -> long {
        archive_stream& self = stream_of(from);
        const std::uint64_t base = origin == ZLIB_FILEFUNC_SEEK_CUR   ? self.at
                                   : origin == ZLIB_FILEFUNC_SEEK_END ? self.file->size()
                                                                      : 0;
        if (base + offset > self.file->size()) return -1;
        self.at = base + offset;
        return 0;
    };
    functions.zclose_file = [](voidpf, voidpf) { return 0; };
    functions.zerror_file = [](voidpf, voidpf) { return 0; };
    return functions;
}

std::string_view local(const char* name) {
    const std::string_view whole(name);
    const std::size_t bar = whole.rfind('|');
    return bar == std::string_view::npos ? whole : whole.substr(bar + 1);
}

}  // namespace

struct zip_xml::impl {
    zip_xml* owner = nullptr;
    std::string part;
    archive_stream stream;
    unzFile archive = nullptr;
    XML_Parser parser = nullptr;
    std::uint64_t packed = 0;
    std::uint64_t unpacked = 0;
    int depth = 0;
    int silent = 0;  ///< pieces since the last end of markup
    bool ended = false;
    std::exception_ptr thrown;
    attributes values;

    ~impl() {
        if (parser) XML_ParserFree(parser);
        if (archive) unzClose(archive);
    }

    error malformed(const std::string& why) const {
        return error(errc::bad_input, "the XLSX file is damaged: its part " + part + " " + why);
    }

    // Exceptions must not pass through a C library.
    template <class Work>
    void guard(Work work) noexcept {
        silent = 0;
        if (thrown) return;
        try {
            work();
        } catch (...) {
            thrown = std::current_exception();
            XML_StopParser(parser, XML_FALSE);
        }
    }

    // What parsing has come to; true, because only the next step knows of the end.
    bool went_on(XML_Status status) const {
        if (thrown) std::rethrow_exception(thrown);
        if (status == XML_STATUS_ERROR) {
            throw malformed(std::string("is no XML: ") + XML_ErrorString(XML_GetErrorCode(parser)));
        }
        return true;
    }

    static impl& of(void* data) { return *static_cast<impl*>(data); }

    static void on_begin(void* data, const XML_Char* name, const XML_Char** pairs) {
        impl& self = of(data);
        self.guard([&] {
            if (++self.depth > deepest) throw self.malformed("is nested too deeply");
            self.values.clear();
            for (; *pairs; pairs += 2)
                self.values.emplace_back(local(pairs[0]), pairs[1]);
            self.owner->begin_element(local(name), self.values);
        });
    }
    static void on_end(void* data, const XML_Char* name) {
        impl& self = of(data);
        --self.depth;
        self.guard([&] { self.owner->end_element(local(name)); });
    }
    static void on_text(void* data, const XML_Char* text, int size) {
        impl& self = of(data);
        self.guard([&] {
            self.owner->characters(std::string_view(text, static_cast<std::size_t>(size)));
        });
    }
    static void on_other(void* data, const XML_Char*, int) { of(data).silent = 0; }
    static void on_doctype(void* data, const XML_Char*, const XML_Char*, const XML_Char*, int) {
        impl& self = of(data);
        self.guard([&] { throw self.malformed("has a document type, which is not allowed"); });
    }
};

zip_xml::zip_xml(input_handle archive, const std::string& part) : impl_(std::make_unique<impl>()) {
    impl& me = *impl_;
    me.owner = this;
    me.part = part;
    me.stream.file = std::move(archive);
    zlib_filefunc64_def functions = functions_on(me.stream);
    me.archive = unzOpen2_64("", &functions);
    if (!me.archive) throw error(errc::bad_input, "the file is no XLSX file, nor another archive");
    if (unzLocateFile(me.archive, part.c_str(), 2) != UNZ_OK) return;
    unz_file_info64 about{};
    if (unzGetCurrentFileInfo64(me.archive, &about, nullptr, 0, nullptr, 0, nullptr, 0) != UNZ_OK ||
        (about.flag & 1) != 0 || unzOpenCurrentFile(me.archive) != UNZ_OK) {
        throw me.malformed("cannot be opened; is it encrypted?");
    }
    me.packed = about.compressed_size;
    me.parser = XML_ParserCreateNS(nullptr, '|');
    if (!me.parser) throw std::bad_alloc();
    XML_SetUserData(me.parser, &me);
    XML_SetElementHandler(me.parser, impl::on_begin, impl::on_end);
    XML_SetCharacterDataHandler(me.parser, impl::on_text);
    XML_SetStartDoctypeDeclHandler(me.parser, impl::on_doctype);
    XML_SetDefaultHandler(me.parser, impl::on_other);
    exists_ = true;
}

zip_xml::~zip_xml() = default;

bool zip_xml::step() {
    impl& me = *impl_;
    if (!me.parser) return false;
    XML_ParsingStatus parsing{};
    XML_GetParsingStatus(me.parser, &parsing);
    if (parsing.parsing == XML_SUSPENDED) return me.went_on(XML_ResumeParser(me.parser));
    if (me.ended) {
        XML_ParserFree(std::exchange(me.parser, nullptr));
        return false;
    }
    void* room = XML_GetBuffer(me.parser, piece_size);
    if (!room) throw std::bad_alloc();
    const int got = unzReadCurrentFile(me.archive, room, piece_size);
    if (got < 0) throw me.malformed("cannot be unpacked");
    me.unpacked += static_cast<std::uint64_t>(got);
    if (me.unpacked > largest_part ||
        (me.unpacked > harmless && me.unpacked / steepest > me.packed)) {
        throw me.malformed("unpacks to more than is allowed");
    }
    if (++me.silent > longest_markup) {
        throw me.malformed("has a tag or another piece of markup of more than 256 KiB");
    }
    me.ended = got == 0;
    return me.went_on(XML_ParseBuffer(me.parser, got, got == 0));
}

void zip_xml::pause() noexcept {
    XML_StopParser(impl_->parser, XML_TRUE);
}

}  // namespace bitdotio
