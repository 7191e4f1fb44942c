// A strand that can be entered in place, where nobody is in it and nobody waits for it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace bitdotio {

namespace asio = boost::asio;

/// An executor on which one function runs at a time, in the order in which they came, as on an
/// asio::strand. Where its own executor is that of an io_context, it costs a fraction of that: no
/// type is erased, and who finds it free is in it at the price of one atomic operation. It is small
/// enough for an any_io_executor to hold it in place.
///
/// Thread safety: any thread. Copies are the same strand.
class strand {
public:
    // A template, or the compiler would look whether a strand makes an executor to make a strand
    // of.
    template <class Executor>
        requires(!std::is_same_v<std::remove_cvref_t<Executor>, strand>)
    explicit strand(Executor&& inner)
        : shared_(new state(asio::any_io_executor(std::forward<Executor>(inner)))) {}

    // Asio asks for this; what they consist of does not throw, but does not all say so.
    strand(const strand&) noexcept = default;
    strand(strand&&) noexcept = default;
    strand& operator=(const strand&) noexcept = default;
    strand& operator=(strand&&) noexcept = default;
    ~strand() = default;

    const asio::any_io_executor& get_inner_executor() const noexcept { return shared_->inner; }
    bool running_in_this_thread() const noexcept { return shared_->runs_here(); }

    /// Runs `work` in the strand before this returns, if nobody is in it. Otherwise, or where its
    /// own executor must be asked first, nothing happens.
    ///
    /// It is for work that belongs to a running caller and resumes nobody: it runs on the caller's
    /// thread, whose executor may be another one.
    template <class Work>
    bool run_now(Work&& work) const {
        if (shared_->runs_here()) {
            work();
            return true;
        }
        if (!shared_->loop || !shared_->try_enter()) {
            return false;
        }
        const auto alive = shared_;
        const turn mine(*alive);
        work();
        return true;
    }
    /// Whether this thread is one of its own executor's, as far as that can be told.
    bool may_run_here() const noexcept { return shared_->may_run_here(); }
    /// Whether what belongs to `executor` may run on any thread of this strand's own executor.
    bool shares_threads_with(const asio::any_io_executor& executor) const noexcept {
        return shared_->loop && executor == shared_->inner;
    }
    /// Runs `function` soon on its own executor, not in the strand.
    template <class Function>
    void run_outside(Function function) const {
        shared_->run_outside(std::move(function));
    }

    // ---- what Asio asks of an executor

    template <class Function>
    void execute(Function&& function) const {
        if (!defers_ && shared_->runs_here()) {
            std::decay_t<Function> mine(std::forward<Function>(function));
            std::move(mine)();
            return;
        }
        if (!defers_ && shared_->may_run_here() && shared_->try_enter()) {
            const auto alive = shared_;  // the function may hold the last of this strand
            const turn now(*alive);
            std::decay_t<Function> mine(std::forward<Function>(function));
            std::move(mine)();
            return;
        }
        using waiting = item_of<std::decay_t<Function>>;
        shared_->add(new waiting(std::forward<Function>(function)));
    }

    asio::execution_context& query(asio::execution::context_t) const noexcept {
        return shared_->context;
    }
    strand require(asio::execution::blocking_t::never_t) const {
        strand other(*this);
        other.defers_ = true;
        return other;
    }
    strand require(asio::execution::blocking_t::possibly_t) const {
        strand other(*this);
        other.defers_ = false;
        return other;
    }
    strand require(asio::execution::outstanding_work_t::tracked_t) const {
        strand other(*this);
        if (shared_->loop) {
            other.work_ = asio::require(*shared_->loop, asio::execution::outstanding_work.tracked);
        } else {
            other.work_ = boost::intrusive_ptr<any_at_work>(new any_at_work(
                asio::prefer(shared_->inner, asio::execution::outstanding_work.tracked)));
        }
        return other;
    }
    strand require(asio::execution::outstanding_work_t::untracked_t) const {
        strand other(*this);
        other.work_ = std::monostate();
        return other;
    }
    bool operator==(const strand& other) const noexcept { return shared_ == other.shared_; }
    bool operator!=(const strand& other) const noexcept { return shared_ != other.shared_; }

private:
    using loop_at_work =
        std::decay_t<decltype(asio::require(std::declval<const asio::io_context::executor_type&>(),
                                            asio::execution::outstanding_work.tracked))>;

    // The same of any other executor, whatever its size.
    struct any_at_work : boost::intrusive_ref_counter<any_at_work, boost::thread_safe_counter> {
        explicit any_at_work(asio::any_io_executor one) : executor(std::move(one)) {}
        const asio::any_io_executor executor;
    };
    using work = std::variant<std::monostate, loop_at_work, boost::intrusive_ptr<any_at_work>>;

    // What waits for its turn.
    struct item {
        virtual void run() = 0;  // and is gone
        virtual ~item() = default;
        item* next = nullptr;
        std::optional<loop_at_work> work;
    };
    template <class Function>
    struct item_of : item {
        template <class Given>
        explicit item_of(Given&& given) : function(std::forward<Given>(given)) {}
        void run() override {
            Function mine(std::move(function));
            delete this;  // before it is called: what it holds must not outlive the call
            std::move(mine)();
        }
        Function function;
    };
    struct no_item : item {
        void run() override {}
    };

    class turn;
    class errand;

    struct state : boost::intrusive_ref_counter<state, boost::thread_safe_counter> {
        explicit state(asio::any_io_executor executor)
            : inner(own_executor(std::move(executor))),
              context(asio::query(inner, asio::execution::context)) {
            if (const auto* own = inner.target<asio::io_context::executor_type>()) {
                loop = own;
            }
        }
        // That of a strand, not the strand: one within the other would order no more than one.
        static asio::any_io_executor own_executor(asio::any_io_executor given) {
            const auto* const outer = given.target<strand>();
            return outer ? outer->get_inner_executor() : given;
        }
        bool runs_here() const noexcept;
        bool may_run_here() const noexcept { return loop && loop->running_in_this_thread(); }
        bool try_enter() noexcept {
            item* nobody = nullptr;
            return last.compare_exchange_strong(nobody, &taken, std::memory_order_acquire,
                                                std::memory_order_relaxed);
        }
        // If nobody was in it, the one that comes with the errand is from now on. Whoever is in it
        // may be on a thread of another context: then nothing but what waits keeps this one at
        // work until the errand is sent.
        void add(item* one) noexcept {
            if (loop) {
                one->work.emplace(asio::require(*loop, asio::execution::outstanding_work.tracked));
            }
            item* before = last.load(std::memory_order_relaxed);
            do {
                one->next = before ? before : &taken;
            } while (!last.compare_exchange_weak(before, one, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed));
            if (!before) {
                send_errand();
            }
        }
        void leave() noexcept {
            item* nobody_waits = &taken;
            if (ready ||
                !last.compare_exchange_strong(nobody_waits, nullptr, std::memory_order_release,
                                              std::memory_order_relaxed)) {
                send_errand();
            }
        }
        // Only by who is in it: what has come stands in line, in the order in which it came.
        void line_up() noexcept {
            item* rest = last.exchange(&taken, std::memory_order_acquire);
            item* first = nullptr;
            while (rest != &taken) {
                item* const older = rest->next;
                rest->next = first;
                first = rest;
                rest = older;
            }
            *end_of_line() = first;
        }
        item** end_of_line() noexcept {
            item** end = &ready;
            while (*end) {
                end = &(*end)->next;
            }
            return end;
        }
        item* take() noexcept {
            item* const one = ready;
            if (one) ready = one->next;
            return one;
        }
        void send_errand() noexcept;
        template <class Function>
        void run_outside(Function function) {
            if (loop) {
                asio::require(*loop, asio::execution::blocking.never).execute(std::move(function));
            } else {
                asio::require(inner, asio::execution::blocking.never).execute(std::move(function));
            }
        }
        // Its executor has ended, and with it what waits. Once it was left it may be another's.
        void drop() noexcept {
            item* nobody_waits = nullptr;
            do {
                line_up();
                while (item* const one = take()) {
                    delete one;
                }
                nobody_waits = &taken;
            } while (!last.compare_exchange_strong(nobody_waits, nullptr, std::memory_order_release,
                                                   std::memory_order_relaxed));
        }

        const asio::any_io_executor inner;
        asio::execution_context& context;
        const asio::io_context::executor_type* loop = nullptr;  // what `inner` is, if it is that
        no_item taken;                     // somebody is in it: the end of those who wait
        std::atomic<item*> last{nullptr};  // of those who wait; null if nobody is in it
        item* ready = nullptr;             // those in line
    };

    // Being in it. On this thread, what is entered last is left first.
    class turn {
    public:
        explicit turn(state& whose) noexcept : whose_(whose), outer_(innermost) {
            innermost = this;
        }
        ~turn() {
            innermost = outer_;
            whose_.leave();
        }
        turn(const turn&) = delete;

        static bool has(const state& one) noexcept {
            for (const turn* each = innermost; each; each = each->outer_) {
                if (&each->whose_ == &one) return true;
            }
            return false;
        }

    private:
        inline static thread_local constinit const turn* innermost = nullptr;
        state& whose_;
        const turn* const outer_;
    };

    // On its way over the executor, for those in line. The strand is entered for it already.
    class errand {
    public:
        explicit errand(boost::intrusive_ptr<state> whose) noexcept : whose_(std::move(whose)) {}
        errand(errand&&) noexcept = default;
        ~errand() {
            if (whose_) whose_->drop();
        }
        void operator()() {
            const auto whose = std::move(whose_);
            const turn mine(*whose);
            whose->line_up();
            // Those that come from now on have the next errand, so that others have a turn too.
            while (item* const one = whose->take()) {
                one->run();
            }
        }

    private:
        boost::intrusive_ptr<state> whose_;
    };

    boost::intrusive_ptr<state> shared_;
    [[no_unique_address]] work work_;  // keeps the context at work, if it holds any
    bool defers_ = false;
};

// A larger one would be on the heap, once more for each operation.
static_assert(sizeof(strand) <= sizeof(std::shared_ptr<void>) + sizeof(void*));

inline bool strand::state::runs_here() const noexcept {
    return turn::has(*this);
}

inline void strand::state::send_errand() noexcept {
    run_outside(errand(boost::intrusive_ptr<state>(this)));
}

}  // namespace bitdotio
