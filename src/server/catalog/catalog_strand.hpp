// How the functions of a catalog reach its strand: those that look, and those that change.
#pragma once

#include "base/blocking.hpp"
#include "base/spawn.hpp"
#include "server/catalog/catalog.hpp"

#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <utility>
#include <variant>

namespace bitdotio {

inline catalog_time catalog_now() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

/// For what returns nothing.
using nothing = std::monostate;

// In place where nobody is on the strand: most calls of the API look several times.
template <class T>
asio::awaitable<T> catalog::look(std::function<T()> work) {
    const auto self = shared_from_this();
    std::optional<T> seen;
    strand_.run_now([&] { seen.emplace(work()); });
    if (seen) co_return std::move(*seen);
    co_return co_await on_strand(strand_, self, do_look(std::move(work)));
}

template <class T>
asio::awaitable<T> catalog::do_look(std::function<T()> work) {
    co_return work();
}

template <class T>
asio::awaitable<T> catalog::change(std::function<T(catalog_rules&)> edit) {
    return on_strand(strand_, shared_from_this(), do_change(std::move(edit)));
}

// Changes a copy, writes it, and only then shows it.
template <class T>
asio::awaitable<T> catalog::do_change(std::function<T(catalog_rules&)> edit) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto mine = co_await writers_.enter();
    check_open();
    catalog_rules changed = known_;
    changed.forget_names(catalog_now());
    T told = edit(changed);
    const catalog_changes changes = changed.take_changes();
    std::function<void()> write = [file = file_, changes] { file->apply(changes); };
    co_await run_blocking(std::move(write));
    std::swap(known_, changed);
    provable_.reset();
    report(changes, changed);
    co_return told;
}

}  // namespace bitdotio
