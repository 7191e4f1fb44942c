// Threads for work that blocks: a service of the execution context, which ends with it.
#include "base/blocking.hpp"

#include "base/deadline.hpp"

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace bitdotio {

namespace {

// Two, because a storm of cancels must not become a storm of connections. Work that nobody waits
// for any more does not count: a server that does not answer must not hold up others.
constexpr std::size_t usual = 2;
constexpr std::size_t most = 16;
// How long the end of the context waits for work that somebody still waited for.
constexpr std::chrono::seconds patience{5};

struct job {
    std::function<void()> work;
    std::exception_ptr failure;
    asio::steady_timer* waiter = nullptr;  // belongs to the caller's strand
    bool running = false;
    bool given_up = false;
    bool finished = false;
};
using job_ptr = std::shared_ptr<job>;

// Outlives its context while work hangs, so nothing in it refers to the context then.
class crew : public std::enable_shared_from_this<crew> {
public:
    void take(job_ptr given) {
        const std::lock_guard lock(mutex_);
        queue_.push_back(std::move(given));
        if (!help() && threads_ == 0) {
            queue_.pop_back();
            throw error(errc::system_failed, "cannot start a thread");
        }
        called_.notify_one();
    }

    void give_up(job& given) noexcept {
        const std::lock_guard lock(mutex_);
        given.waiter = nullptr;
        given.given_up = true;
        hanging_ += given.running;
        help();
    }

    bool is_finished(const job& given) {
        const std::lock_guard lock(mutex_);
        return given.finished;
    }

    // Joins the threads whose work has ended, so that what libraries keep for a thread is freed
    // before the process ends. Threads whose work hangs are left alone.
    void end() {
        std::unique_lock lock(mutex_);
        over_ = true;
        queue_.clear();
        called_.notify_all();
        gone_.wait_for(lock, patience, [this] { return threads_ == hanging_; });
        for (std::thread& hanging : at_work_) {
            hanging.detach();
        }
        at_work_.clear();
        std::list<std::thread> ended = std::move(ended_);
        lock.unlock();
        for (std::thread& one : ended) {
            one.join();
        }
    }

private:
    // Starts a thread if one is needed and allowed. False if the system has none.
    bool help() noexcept {
        if (queue_.size() <= idle_ || threads_ - hanging_ >= usual || threads_ >= most) {
            return true;
        }
        const std::size_t before = at_work_.size();
        try {
            std::thread& one = at_work_.emplace_back();
            one = std::thread([self = shared_from_this()]() noexcept { self->labour(); });
        } catch (const std::exception&) {
            at_work_.resize(before);
            return false;
        }
        ++threads_;
        return true;
    }

    // Nothing here throws: what the work throws is for its caller.
    void labour() noexcept {
        std::unique_lock lock(mutex_);
        while (!over_) {
            if (queue_.empty()) {
                ++idle_;
                called_.wait(lock);
                --idle_;
                continue;
            }
            const job_ptr next = std::move(queue_.front());
            queue_.pop_front();
            next->running = true;
            hanging_ += next->given_up;
            lock.unlock();
            try {
                next->work();
            } catch (...) {
                next->failure = std::current_exception();
            }
            next->work = nullptr;
            lock.lock();
            next->running = false;
            next->finished = true;
            hanging_ -= next->given_up;
            while (next->waiter && !over_ && !wake(next)) {
                // Out of memory. What the job waits for is done, so it must be told.
                lock.unlock();
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
                lock.lock();
            }
        }
        --threads_;
        const auto mine = std::find_if(
            at_work_.begin(), at_work_.end(),
            [](const std::thread& one) { return one.get_id() == std::this_thread::get_id(); });
        if (mine != at_work_.end()) {
            ended_.splice(ended_.end(), at_work_, mine);
        }
        gone_.notify_all();
    }

    // Returns false if there is no memory for the wake.
    static bool wake(const job_ptr& ended) noexcept {
        try {
            post_work(ended->waiter->get_executor(), [ended]() noexcept {
                if (ended->waiter) ended->waiter->cancel();
            });
            return true;
        } catch (const std::exception&) {
            return false;
        }
    }

    std::mutex mutex_;
    std::condition_variable called_;
    std::condition_variable gone_;
    std::deque<job_ptr> queue_;
    std::list<std::thread> at_work_;
    std::list<std::thread> ended_;
    std::size_t threads_ = 0;
    std::size_t idle_ = 0;
    std::size_t hanging_ = 0;  // threads whose work nobody waits for
    bool over_ = false;
};

class blocking_service : public asio::execution_context::service {
public:
    using key_type = blocking_service;
    static inline asio::execution_context::id id;

    explicit blocking_service(asio::execution_context& context)
        : asio::execution_context::service(context), crew_(std::make_shared<crew>()) {}

    const std::shared_ptr<crew>& workers() { return crew_; }

private:
    void shutdown() override { crew_->end(); }

    std::shared_ptr<crew> crew_;
};

// Waits for a job, until it is finished or the wait ends in another way.
class wait_for_job {
public:
    wait_for_job(std::shared_ptr<crew> workers, job_ptr given,
                 const asio::any_io_executor& executor)
        : workers_(std::move(workers)), job_(std::move(given)), done_(executor, no_deadline) {
        job_->waiter = &done_;
        workers_->take(job_);
    }
    ~wait_for_job() { workers_->give_up(*job_); }
    wait_for_job(const wait_for_job&) = delete;

    asio::steady_timer& done() { return done_; }
    bool is_finished() const { return workers_->is_finished(*job_); }

private:
    std::shared_ptr<crew> workers_;
    job_ptr job_;
    asio::steady_timer done_;
};

}  // namespace

asio::awaitable<void> run_blocking(std::function<void()> work) {
    const auto executor = co_await asio::this_coro::executor;
    auto& context = asio::query(executor, asio::execution::context);
    const job_ptr given = std::make_shared<job>();
    given->work = std::move(work);
    wait_for_job wait(asio::use_service<blocking_service>(context).workers(), given, executor);
    boost::system::error_code ended;
    co_await wait.done().async_wait(asio::redirect_error(asio::use_awaitable, ended));
    if (!wait.is_finished()) {
        throw error(errc::cancelled, "waiting was cancelled");
    }
    if (given->failure) {
        std::rethrow_exception(given->failure);
    }
}

}  // namespace bitdotio
