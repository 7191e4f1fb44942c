// The server's functions for large objects.
#include <bitdotio/large_object.hpp>

#include "postgres/transaction_scope.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

// The server takes memory for the whole of what is asked for, whatever there is to read.
constexpr std::size_t largest_piece = 16 << 20;

}  // namespace

large_object::large_object(std::shared_ptr<transaction_scope> scope, std::size_t level,
                           int descriptor) noexcept
    : scope_(std::move(scope)), level_(level), descriptor_(descriptor) {}

asio::awaitable<oid> large_object::create(transaction& in, oid wanted) {
    const result made = co_await in.query("SELECT lo_create($1::oid)", wanted);
    co_return made.one<oid>();
}

asio::awaitable<void> large_object::unlink(transaction& in, oid object) {
    co_await in.query("SELECT lo_unlink($1::oid)", object);
}

asio::awaitable<large_object> large_object::open(transaction& in, oid object, mode how) {
    constexpr int writing = 0x20000;  // INV_WRITE and INV_READ of libpq/libpq-fs.h
    constexpr int reading = 0x40000;
    const int flags = how == mode::read    ? reading
                      : how == mode::write ? writing
                                           : reading | writing;
    const auto scope = in.scope();
    const std::size_t level = in.level();
    const result opened = co_await in.query("SELECT lo_open($1::oid, $2::int)", object, flags);
    co_return large_object(scope, level, opened.one<int>());
}

asio::awaitable<result> large_object::run(statement sql, params values) {
    if (!scope_) {
        throw error(errc::protocol_violated, "the large object was never opened, or was moved from")
            .with(outcome::not_sent);
    }
    return transaction_scope::run(scope_, level_, std::move(sql), std::move(values));
}

asio::awaitable<bytes> large_object::read(std::size_t count) {
    bytes all;
    while (true) {
        const std::size_t wanted = std::min(count - all.size(), largest_piece);
        const params values(descriptor_, static_cast<std::int64_t>(wanted));
        const result answer = co_await run("SELECT loread($1::int, $2::int8::int)", values);
        bytes piece = answer.one<bytes>();
        const std::size_t size = piece.size();
        if (all.empty()) {
            all = std::move(piece);
        } else {
            all.insert(all.end(), piece.begin(), piece.end());
        }
        if (size < wanted || all.size() == count) {
            co_return all;
        }
    }
}

asio::awaitable<void> large_object::write(bytes data) {
    params values(descriptor_, data);
    data = {};
    co_await run("SELECT lowrite($1::int, $2::bytea)", std::move(values));
}

asio::awaitable<std::int64_t> large_object::seek(std::int64_t offset, origin from) {
    const params values(descriptor_, offset, static_cast<int>(from));
    const result moved = co_await run("SELECT lo_lseek64($1::int, $2::int8, $3::int)", values);
    co_return moved.one<std::int64_t>();
}

asio::awaitable<std::int64_t> large_object::tell() {
    const params values(descriptor_);
    const result position = co_await run("SELECT lo_tell64($1::int)", values);
    co_return position.one<std::int64_t>();
}

asio::awaitable<void> large_object::truncate(std::int64_t size) {
    const params values(descriptor_, size);
    co_await run("SELECT lo_truncate64($1::int, $2::int8)", values);
}

asio::awaitable<void> large_object::close() {
    const params values(descriptor_);
    co_await run("SELECT lo_close($1::int)", values);
}

}  // namespace bitdotio
