// A directory in memory for the files that readers want by their paths.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace fuzz {

/// One for each process; it goes when the process ends in order.
class scratch {
public:
    static const scratch& one() {
        static const scratch made;
        return made;
    }

    std::filesystem::path path(const char* name) const { return directory_ / name; }
    std::filesystem::path write(const char* name, std::string_view content) const {
        const std::filesystem::path file = path(name);
        std::ofstream(file, std::ios::binary | std::ios::trunc)
            .write(content.data(), static_cast<std::streamsize>(content.size()));
        return file;
    }

private:
    scratch() {
        const std::filesystem::path memory = "/dev/shm";
        std::string name = std::filesystem::is_directory(memory)
                               ? memory / "fuzz-XXXXXX"
                               : std::filesystem::temp_directory_path() / "fuzz-XXXXXX";
        if (!::mkdtemp(name.data())) std::abort();
        directory_ = name;
    }
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }

    std::filesystem::path directory_;
};

}  // namespace fuzz
