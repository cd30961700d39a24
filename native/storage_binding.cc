// N-API arguments and results of the journal's scan and of copies by runs. The work is done in the threads of libuv's pool, on duplicates of
// the descriptors, so that the caller may close its own at any time.

#include "storage_binding.h"

#include <fcntl.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "descriptor.h"
#include "file_runs.h"
#include "record_scan.h"

namespace mlfs {
namespace {

/// A non-negative whole number that a double holds exactly.
uint64_t whole_number(Napi::Env env, double value) {
  if (!(value >= 0) || value > 9007199254740991.0 || value != std::floor(value)) {
    throw Napi::RangeError::New(env, "a number that is not a whole number");
  }
  return static_cast<uint64_t>(value);
}

uint64_t whole_number(const Napi::Value& value) { return whole_number(value.Env(), value.As<Napi::Number>().DoubleValue()); }

Descriptor duplicate(Napi::Env env, int fd) {
  Descriptor copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (copy) return copy;
  Napi::Error error = Napi::Error::New(env, std::string("dup: ") + strerror(errno));
  error.Set("errno", Napi::Number::New(env, errno));
  throw error;
}

/// Work that settles a promise.
class Work : public Napi::AsyncWorker {
 public:
  explicit Work(Napi::Env env) : Napi::AsyncWorker(env, "mlfs-storage"), deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise start() {
    Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

  void Execute() final {
    try {
      errno_ = run();
    } catch (const std::bad_alloc&) {
      errno_ = ENOMEM;
    }
    // In this thread: close(2) writes back what was written to a file on NFS or FUSE, and waits for it.
    close();
    if (errno_ != 0) SetError(strerror(errno_));
  }

 protected:
  /// Returns 0 or an errno.
  virtual int run() = 0;
  virtual void close() = 0;
  virtual Napi::Value result() { return Env().Undefined(); }

 private:
  void OnOK() override { deferred_.Resolve(result()); }
  void OnError(const Napi::Error& error) override {
    error.Set("errno", Napi::Number::New(Env(), errno_));
    deferred_.Reject(error.Value());
  }

  Napi::Promise::Deferred deferred_;
  int errno_ = 0;
};

class ScanRecords : public Work {
 public:
  explicit ScanRecords(const Napi::CallbackInfo& info)
      : Work(info.Env()),
        file_(duplicate(info.Env(), info[0].As<Napi::Number>().Int32Value())),
        from_(whole_number(info[1])),
        to_(whole_number(info[2])),
        limits_{static_cast<size_t>(whole_number(info[3])), whole_number(info[4]), info[5].As<Napi::Number>().DoubleValue()} {}

 protected:
  int run() override {
    found_ = scan_records(file_.get(), from_, to_, limits_);
    return 0;
  }

  void close() override { file_.reset(); }

  Napi::Value result() override {
    auto rows = Napi::Float64Array::New(Env(), found_.rows.size());
    if (!found_.rows.empty()) memcpy(rows.Data(), found_.rows.data(), found_.rows.size() * sizeof(double));
    auto result = Napi::Object::New(Env());
    result.Set("rows", rows);
    result.Set("end", Napi::Number::New(Env(), static_cast<double>(found_.end)));
    return result;
  }

 private:
  Descriptor file_;
  const uint64_t from_;
  const uint64_t to_;
  const ScanLimits limits_;
  ScannedRecords found_;
};

class Runs : public Work {
 public:
  explicit Runs(const Napi::CallbackInfo& info)
      : Work(info.Env()), to_(duplicate(info.Env(), info[0].As<Napi::Number>().Int32Value())) {
    const auto fds = info[1].As<Napi::Int32Array>();
    for (size_t i = 0; i < fds.ElementLength(); i++) from_.push_back(duplicate(info.Env(), fds[i]));
    const auto numbers = info[2].As<Napi::Float64Array>();
    runs_.reserve(numbers.ElementLength() / 4);
    for (size_t i = 0; i + 3 < numbers.ElementLength(); i += 4) {
      const uint64_t file = whole_number(info.Env(), numbers[i]);
      if (file >= from_.size()) throw Napi::RangeError::New(info.Env(), "a file that is not in the list");
      runs_.push_back({from_[file].get(), whole_number(info.Env(), numbers[i + 1]),
                       whole_number(info.Env(), numbers[i + 2]), whole_number(info.Env(), numbers[i + 3])});
    }
  }

 protected:
  void close() override {
    to_.reset();
    from_.clear();
  }

  Descriptor to_;
  std::vector<Descriptor> from_;
  std::vector<FileRun> runs_;
};

class CopyRuns : public Runs {
 public:
  using Runs::Runs;

 protected:
  int run() override { return copy_runs(to_.get(), runs_); }
};

class Crc32Differences : public Runs {
 public:
  explicit Crc32Differences(const Napi::CallbackInfo& info) : Runs(info) {
    const auto groups = info[3].As<Napi::Float64Array>();
    if (groups.ElementLength() != runs_.size()) throw Napi::RangeError::New(info.Env(), "a group for each run");
    groups_.assign(groups.Data(), groups.Data() + groups.ElementLength());
    for (size_t i = 1; i < runs_.size(); i++) {
      const FileRun& last = runs_[i - 1];
      if (groups_[i] == groups_[i - 1] && runs_[i].to_offset < last.to_offset + last.length) {
        throw Napi::RangeError::New(info.Env(), "the runs of a group are out of order");
      }
    }
  }

 protected:
  int run() override { return crc32_differences(to_.get(), runs_, groups_, differences_); }

  Napi::Value result() override {
    auto result = Napi::Uint32Array::New(Env(), differences_.size());
    for (size_t i = 0; i < differences_.size(); i++) result[i] = differences_[i];
    return result;
  }

 private:
  std::vector<double> groups_;
  std::vector<uint32_t> differences_;
};

/// scanRecords(fd, from, to, records, bytes, stopSequence): Promise<{rows: Float64Array, end}>
/// copyRuns(toFd, fromFds: Int32Array, runs: Float64Array of (file, offset, offset in `to`, length)): Promise
/// crc32Differences(toFd, fromFds, runs, groups: Float64Array): Promise<Uint32Array>
template <typename Task>
Napi::Value Start(const Napi::CallbackInfo& info) {
  return (new Task(info))->start();
}

}  // namespace

void define_storage(Napi::Env env, Napi::Object exports) {
  exports.Set("scanRecords", Napi::Function::New<Start<ScanRecords>>(env));
  exports.Set("copyRuns", Napi::Function::New<Start<CopyRuns>>(env));
  exports.Set("crc32Differences", Napi::Function::New<Start<Crc32Differences>>(env));
}

}  // namespace mlfs
