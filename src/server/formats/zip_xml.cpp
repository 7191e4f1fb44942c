// Unpacks with minizip and parses with expat.
#include "server/formats/zip_xml.hpp"

#include <bitdotio/error.hpp>

#include <expat.h>
#include <unzip.h>

#include <exception>

namespace bitdotio {

namespace {

constexpr std::uint64_t largest_part = std::uint64_t{4} << 30;
constexpr std::uint64_t harmless = 64 * 1024 * 1024;  // however small its packed form
constexpr std::uint64_t steepest = 500;
constexpr int deepest = 100;
constexpr int piece_size = 64 * 1024;

std::string_view local(const char* name) {
    const std::string_view whole(name);
    const std::size_t bar = whole.rfind('|');
    return bar == std::string_view::npos ? whole : whole.substr(bar + 1);
}

}  // namespace

struct zip_xml::impl {
    zip_xml* owner = nullptr;
    std::string part;
    unzFile archive = nullptr;
    XML_Parser parser = nullptr;
    std::uint64_t packed = 0;
    std::uint64_t unpacked = 0;
    int depth = 0;
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
        if (thrown) return;
        try {
            work();
        } catch (...) {
            thrown = std::current_exception();
            XML_StopParser(parser, XML_FALSE);
        }
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
    static void on_doctype(void* data, const XML_Char*, const XML_Char*, const XML_Char*, int) {
        impl& self = of(data);
        self.guard([&] { throw self.malformed("has a document type, which is not allowed"); });
    }
};

zip_xml::zip_xml(const std::filesystem::path& archive, const std::string& part)
    : impl_(std::make_unique<impl>()) {
    impl& me = *impl_;
    me.owner = this;
    me.part = part;
    me.archive = unzOpen64(archive.c_str());
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
    exists_ = true;
}

zip_xml::~zip_xml() = default;

bool zip_xml::step() {
    impl& me = *impl_;
    if (!me.parser) return false;
    void* room = XML_GetBuffer(me.parser, piece_size);
    if (!room) throw std::bad_alloc();
    const int got = unzReadCurrentFile(me.archive, room, piece_size);
    if (got < 0) throw me.malformed("cannot be unpacked");
    me.unpacked += static_cast<std::uint64_t>(got);
    if (me.unpacked > largest_part ||
        (me.unpacked > harmless && me.unpacked / steepest > me.packed)) {
        throw me.malformed("unpacks to more than is allowed");
    }
    const XML_Status status = XML_ParseBuffer(me.parser, got, got == 0);
    if (me.thrown) std::rethrow_exception(me.thrown);
    if (status != XML_STATUS_OK) {
        throw me.malformed(std::string("is no XML: ") +
                           XML_ErrorString(XML_GetErrorCode(me.parser)));
    }
    if (got > 0) return true;
    XML_ParserFree(std::exchange(me.parser, nullptr));
    return false;
}

}  // namespace bitdotio
