// sda_result.hpp: what sda.hpp and sda_engine.hpp have in common. Include those.
#ifndef SDA_RESULT_HPP
#define SDA_RESULT_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "sda.h"

namespace sda {

// Why a call failed: one of SDA_ERR_*, and the library's text.
struct failure {
    int32_t status;
    std::string text;
};

// What value() of a failed result throws.
class error : public std::runtime_error {
public:
    explicit error(const failure &why) : std::runtime_error(why.text), status_(why.status) {}

    // One of SDA_ERR_*.
    int32_t status() const noexcept { return status_; }

private:
    int32_t status_;
};

// A value, or why there is none; the part of std::expected<T, failure> that is needed here.
template <class T> class [[nodiscard]] result {
public:
    result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    result(failure why) : state_(std::in_place_index<1>, std::move(why)) {}

    // Whether there is a value.
    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    // The value, which has to be there.
    T &operator*() & noexcept { return *std::get_if<0>(&state_); }
    const T &operator*() const & noexcept { return *std::get_if<0>(&state_); }
    T &&operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    T *operator->() noexcept { return std::get_if<0>(&state_); }
    const T *operator->() const noexcept { return std::get_if<0>(&state_); }

    // The failure, which has to be there.
    const failure &error() const noexcept { return *std::get_if<1>(&state_); }

#ifdef __cpp_exceptions
    // The value; throws sda::error if there is none.
    T &value() & { return has_value() ? **this : throw sda::error(error()); }
    const T &value() const & { return has_value() ? **this : throw sda::error(error()); }
    T value() && { return has_value() ? *std::move(*this) : throw sda::error(error()); }
#endif

private:
    std::variant<T, failure> state_;
};

// Success, or why a call failed.
template <> class [[nodiscard]] result<void> {
public:
    result() noexcept = default;
    result(failure why) : failure_(std::move(why)) {}

    // Whether the call succeeded.
    bool has_value() const noexcept { return !failure_; }
    explicit operator bool() const noexcept { return has_value(); }

    // The failure, which has to be there.
    const failure &error() const noexcept { return *failure_; }

#ifdef __cpp_exceptions
    // Throws sda::error if the call failed.
    void value() const {
        if (failure_) {
            throw sda::error(*failure_);
        }
    }
#endif

private:
    std::optional<failure> failure_;
};

// A pointer and a number of elements, which belong to somebody else; std::span for C++17.
template <class T> class view {
public:
    constexpr view() noexcept = default;
    constexpr view(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N> constexpr view(T (&array)[N]) noexcept : data_(array), size_(N) {}

    // Of a container with data() and size(): std::vector, std::array, std::span, std::string.
    template <class C, class = std::enable_if_t<
                           std::is_convertible_v<decltype(std::declval<C &>().data()), T *> &&
                           std::is_convertible_v<decltype(std::declval<C &>().size()), std::size_t>>>
    constexpr view(C &&container) noexcept : data_(container.data()), size_(container.size()) {}

    // Never NULL for no elements, which the library would take for an argument that is missing.
    constexpr T *data() const noexcept { return size_ == 0 ? &nothing : data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr T &operator[](std::size_t i) const noexcept { return data_[i]; }
    constexpr T *begin() const noexcept { return data(); }
    constexpr T *end() const noexcept { return data() + size_; }

private:
    static inline std::remove_const_t<T> nothing = {};
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

namespace detail {

inline int32_t init(sda_params *it) { return sda_params_init(it, sizeof *it); }
inline int32_t init(sda_step_info *it) { return sda_step_info_init(it, sizeof *it); }
inline int32_t init(sda_prefill *it) { return sda_prefill_init(it, sizeof *it); }
inline int32_t init(sda_stats *it) { return sda_stats_init(it, sizeof *it); }
inline int32_t init(sda_judge_request *it) { return sda_judge_request_init(it, sizeof *it); }
inline int32_t init(sda_judgement *it) { return sda_judgement_init(it, sizeof *it); }
#ifdef SDA_BUNDLED
inline int32_t init(sda_model_params *it) { return sda_model_params_init(it, sizeof *it); }
inline int32_t init(sda_engine_params *it) { return sda_engine_params_init(it, sizeof *it); }
inline int32_t init(sda_generate_params *it) { return sda_generate_params_init(it, sizeof *it); }
inline int32_t init(sda_answer *it) { return sda_answer_init(it, sizeof *it); }
#endif

// Room for the text of an error where no handle keeps it.
constexpr std::size_t error_size = 512;

// The library's text, or the status in words where there is none.
inline failure failed(int32_t status, const char *text) {
    return failure{status, text != nullptr && text[0] != '\0' ? text : sda_status_str(status)};
}

inline result<void> checked(int32_t status, const char *text) {
    return status == SDA_OK ? result<void>() : result<void>(failed(status, text));
}

template <class T> result<T> checked(int32_t status, const char *text, T value) {
    return status == SDA_OK ? result<T>(std::move(value)) : result<T>(failed(status, text));
}

// A failure if the rows of a step differ in length.
inline std::optional<failure> lengths(std::size_t instructed, std::size_t row, std::size_t logprobs) {
    if (row == instructed && logprobs == instructed) {
        return std::nullopt;
    }
    return failure{SDA_ERR_LENGTH, "rows have " + std::to_string(instructed) + ", " + std::to_string(row) + " and " +
                                       std::to_string(logprobs) + " elements, expected one length"};
}

template <class T, void (*Free)(T *)> struct deleter {
    void operator()(T *handle) const noexcept { Free(handle); }
};

// What every object of a handle has.
template <class T, void (*Free)(T *)> class owner {
public:
    // Takes ownership of a handle.
    explicit owner(T *handle) noexcept : handle_(handle) {}

    // The handle, which stays this object's.
    T *get() const noexcept { return handle_.get(); }

    // Gives the handle away, to be freed with the function of sda.h for it.
    T *release() noexcept { return handle_.release(); }

private:
    std::unique_ptr<T, deleter<T, Free>> handle_;
};

// The same for a handle that keeps the text of its last error.
template <class T, void (*Free)(T *), const char *(*Text)(const T *)> class talking_owner : public owner<T, Free> {
public:
    using owner<T, Free>::owner;

protected:
    result<void> checked(int32_t status) const { return detail::checked(status, Text(this->get())); }
    template <class V> result<V> checked(int32_t status, V value) const {
        return detail::checked(status, Text(this->get()), value);
    }
};

// An owner of what a function of sda.h makes, called as call(error, error_size, &handle).
template <class Owner, class Handle, class Call> result<Owner> make(Call &&call) {
    char text[error_size] = "";
    Handle *handle = nullptr;
    const int32_t status = call(text, sizeof text, &handle);
    if (status != SDA_OK) {
        return failed(status, text);
    }
    return Owner(handle);
}

// A function of the caller's that the library calls: what it throws must not pass through the library's frames.
template <class Function> class callback {
public:
    explicit callback(Function &function) noexcept : function_(&function) {}

    // Runs call(function); false if that threw, which rethrow() then does in the caller's own frames.
    template <class Call> bool run(const Call &call) noexcept {
#ifdef __cpp_exceptions
        try {
            call(*function_);
            return true;
        } catch (...) {
            thrown_ = std::current_exception();
            return false;
        }
#else
        call(*function_);
        return true;
#endif
    }

    void rethrow() const {
#ifdef __cpp_exceptions
        if (thrown_) {
            std::rethrow_exception(thrown_);
        }
#endif
    }

private:
    std::remove_reference_t<Function> *function_;
    std::exception_ptr thrown_;
};

template <auto Function, auto... Otherwise> struct guard;
template <class R, class... A, R (*Function)(A...), auto... Otherwise> struct guard<Function, Otherwise...> {
    static R call(A... arguments) noexcept {
#ifdef __cpp_exceptions
        try {
            return Function(arguments...);
        } catch (...) {
            return R(Otherwise...);
        }
#else
        return Function(arguments...);
#endif
    }
};

} // namespace detail

// A struct of sda.h with its defaults. If library and header do not fit it is empty, and the call that gets it fails with
// SDA_ERR_VERSION.
template <class T> T defaults() noexcept {
    T it = {};
    if (detail::init(&it) != SDA_OK) {
        it = T{};
    }
    return it;
}

// A function for sda_host that may throw, as one that does not: `host.decode = sda::no_throw<my_decode, -1>` returns -1 in
// place of an exception, and a zero, NULL or nothing without a second argument.
template <auto Function, auto... Otherwise>
inline constexpr auto no_throw = &detail::guard<Function, Otherwise...>::call;

} // namespace sda

#endif // SDA_RESULT_HPP
