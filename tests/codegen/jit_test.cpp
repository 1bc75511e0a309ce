// The compiler of kernels and its cache on disk, which must never be in the way.
#include "codegen/cpu/jit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace heed {
namespace {

namespace fs = std::filesystem;

// Writes `number` to the first buffer.
KernelSource writes(std::int64_t number, std::atomic<int>* built = nullptr) {
  return {fmt::format("writes {}", number), [=](llvm::Module& module, const std::string& symbol) {
            if (built) ++*built;
            llvm::LLVMContext& context = module.getContext();
            llvm::IRBuilder<> builder(context);
            auto* type = llvm::FunctionType::get(builder.getVoidTy(),
                                                 {builder.getPtrTy(), builder.getPtrTy(), builder.getInt64Ty(), builder.getPtrTy()}, false);
            auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
            builder.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", function));
            auto* buffer = builder.CreateLoad(builder.getPtrTy(), function->getArg(0));
            builder.CreateStore(builder.getInt64(static_cast<std::uint64_t>(number)), buffer);
            builder.CreateRetVoid();
          }};
}

std::int64_t run(KernelFunction function) {
  std::int64_t value = 0;
  void* buffers[] = {&value};
  Fault fault;
  function(buffers, nullptr, 0, &fault);
  return value;
}

class Cache : public ::testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / fmt::format("heed_cache_test_{}", getpid());
    fs::remove_all(folder);
    settings.cache.folder = folder;
    settings.threads = 2;
  }
  void TearDown() override {
    std::error_code ignored;
    fs::permissions(folder, fs::perms::owner_all, ignored);
    fs::remove_all(folder, ignored);
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path());
    return out;
  }
  CompiledKernels compile(std::vector<KernelSource> sources) const { return compile_kernels(sources, host_target(), settings); }
  fs::path folder;
  CompileSettings settings;
};

TEST_F(Cache, EqualKernelsAreCompiledOnce) {
  std::atomic<int> built{0};
  auto kernels = compile({writes(7, &built), writes(8, &built), writes(7, &built)});
  EXPECT_EQ(built, 2);
  EXPECT_EQ(kernels.compiled, 2);
  EXPECT_EQ(kernels.functions[0], kernels.functions[2]);
  EXPECT_EQ(run(kernels.functions[0]), 7);
  EXPECT_EQ(run(kernels.functions[1]), 8);
}

TEST_F(Cache, FoundAgainWithoutBuilding) {
  std::atomic<int> built{0};
  compile({writes(7, &built), writes(8, &built)});
  auto again = compile({writes(8, &built), writes(7, &built)});
  EXPECT_EQ(built, 2);
  EXPECT_EQ(again.from_cache, 2);
  EXPECT_EQ(run(again.functions[0]), 8);
  EXPECT_EQ(run(again.functions[1]), 7);
}

TEST_F(Cache, OffMeansNoFiles) {
  settings.cache.enabled = false;
  EXPECT_EQ(run(compile({writes(7)}).functions[0]), 7);
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(Cache, AnotherTargetIsAnotherObject) {
  compile({writes(7)});
  Target other = host_target();
  other.level2_bytes *= 2;
  EXPECT_EQ(compile_kernels({writes(7)}, other, settings).compiled, 1);
}

// Each byte of a stored file flipped, and each length it could be cut to (every 50th), and files of something else.
TEST_F(Cache, DamagedFilesAreRewritten) {
  compile({writes(7)});
  ASSERT_EQ(files().size(), 1U);
  fs::path path = files()[0];
  std::ifstream in(path, std::ios::binary);
  std::string whole((std::istreambuf_iterator<char>(in)), {});
  auto write = [&](const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; };
  ObjectCache cache(settings.cache);
  std::string name = path.filename();
  ASSERT_TRUE(cache.find(name));
  for (std::size_t i = 0; i < whole.size(); i += 7) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 16);
    write(flipped);
    EXPECT_FALSE(cache.find(name)) << "byte " << i;
    write(whole.substr(0, i));
    EXPECT_FALSE(cache.find(name)) << "length " << i;
  }
  write(whole + "x");
  EXPECT_FALSE(cache.find(name));
  for (const std::string& content : {std::string(), std::string("#!/bin/sh\n"), std::string(5000, '\0')}) {
    write(content);
    auto kernels = compile({writes(7)});
    EXPECT_EQ(kernels.compiled, 1);
    EXPECT_EQ(run(kernels.functions[0]), 7);
    EXPECT_EQ(compile({writes(7)}).from_cache, 1);
  }
  // An object of another name, as if renamed by hand.
  compile({writes(8)});
  for (const fs::path& other : files())
    if (other != path) fs::copy_file(other, path, fs::copy_options::overwrite_existing);
  EXPECT_FALSE(cache.find(name));
}

TEST_F(Cache, FolderThatCannotBeUsed) {
  std::ofstream(folder) << "a file where the folder should be";
  EXPECT_EQ(run(compile({writes(7)}).functions[0]), 7);
  fs::remove(folder);
  settings.cache.folder = "/proc/heed";
  EXPECT_EQ(run(compile({writes(7)}).functions[0]), 7);
}

TEST_F(Cache, FullDiskLeavesNothing) {
  fs::create_directories(folder);
  ObjectCache cache(settings.cache);
  rlimit before, small{100, 0};  // Writes past 100 bytes fail, as on a disk without space.
  getrlimit(RLIMIT_FSIZE, &before);
  small.rlim_max = before.rlim_max;
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  cache.store("aa.o", std::string(1000, 'x'));
  auto kernels = compile({writes(7)});
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(run(kernels.functions[0]), 7);
  EXPECT_TRUE(files().empty());
  EXPECT_FALSE(cache.find("aa.o"));
}

// The last step fails: a folder lies where the object should be.
TEST_F(Cache, FailedRenameLeavesNothing) {
  ObjectCache cache(settings.cache);
  fs::create_directories(folder / "aa.o" / "occupied");
  cache.store("aa.o", "object");
  EXPECT_EQ(files().size(), 1U);
  EXPECT_FALSE(cache.find("aa.o"));
}

TEST_F(Cache, LongestUnusedGoFirst) {
  settings.cache.limit_bytes = 10 * 1100;
  ObjectCache cache(settings.cache);
  std::string object(1000, 'x');
  for (int i = 0; i < 12; ++i) {
    cache.store(fmt::format("{:02}.o", i), object);
    fs::last_write_time(folder / fmt::format("{:02}.o", i), fs::file_time_type::clock::now() - std::chrono::hours(100 - i));
  }
  EXPECT_TRUE(cache.find("00.o"));  // Now the latest used.
  std::ofstream(folder / "someone_elses.txt") << std::string(100000, 'x');
  std::ofstream(folder / "dead.1.2.part") << "left behind";
  fs::last_write_time(folder / "dead.1.2.part", fs::file_time_type::clock::now() - std::chrono::hours(2));
  cache.trim();
  EXPECT_TRUE(cache.find("00.o"));
  EXPECT_FALSE(cache.find("01.o"));
  EXPECT_TRUE(cache.find("11.o"));
  EXPECT_TRUE(fs::exists(folder / "someone_elses.txt"));
  EXPECT_FALSE(fs::exists(folder / "dead.1.2.part"));
  std::int64_t total = 0;
  for (const auto& path : files())
    if (path.extension() == ".o") total += static_cast<std::int64_t>(fs::file_size(path));
  EXPECT_LE(total, settings.cache.limit_bytes);
}

TEST_F(Cache, ManyAtOnce) {
  std::vector<KernelSource> sources;
  for (int i = 0; i < 20; ++i) sources.push_back(writes(i));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      auto kernels = compile(sources);
      for (int i = 0; i < 20; ++i) wrong += run(kernels.functions[static_cast<std::size_t>(i)]) != i;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(compile(sources).from_cache, 20);
  for (const fs::path& path : files()) EXPECT_EQ(path.extension(), kernel_extension);
}

// Writes the sum of `count` numbers that follow from `first` and the position, each divided by `divisor`.
KernelSource sums(std::int64_t first, std::int64_t count, std::int64_t divisor) {
  return {fmt::format("sums {} {} {}", first, count, divisor), [=](llvm::Module& module, const std::string& symbol) {
            llvm::LLVMContext& context = module.getContext();
            llvm::IRBuilder<> builder(context);
            auto number = [&](std::int64_t value) { return builder.getInt64(static_cast<std::uint64_t>(value)); };
            auto* type = llvm::FunctionType::get(builder.getVoidTy(),
                                                 {builder.getPtrTy(), builder.getPtrTy(), builder.getInt64Ty(), builder.getPtrTy()}, false);
            auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
            auto* entry = llvm::BasicBlock::Create(context, "entry", function);
            auto* body = llvm::BasicBlock::Create(context, "body", function);
            auto* end = llvm::BasicBlock::Create(context, "end", function);
            builder.SetInsertPoint(entry);
            auto* buffer = builder.CreateLoad(builder.getPtrTy(), function->getArg(0));
            builder.CreateBr(body);
            builder.SetInsertPoint(body);
            auto* at = builder.CreatePHI(builder.getInt64Ty(), 2);
            auto* sum = builder.CreatePHI(builder.getInt64Ty(), 2);
            auto* next = builder.CreateAdd(at, number(1));
            auto* more = builder.CreateAdd(sum, builder.CreateSDiv(builder.CreateMul(at, number(first)), number(divisor)));
            at->addIncoming(number(0), entry);
            at->addIncoming(next, body);
            sum->addIncoming(number(0), entry);
            sum->addIncoming(more, body);
            builder.CreateCondBr(builder.CreateICmpSLT(next, number(count)), body, end);
            builder.SetInsertPoint(end);
            builder.CreateStore(more, buffer);
            builder.CreateRetVoid();
          }};
}
std::int64_t sum_of(std::int64_t first, std::int64_t count, std::int64_t divisor) {
  std::int64_t sum = 0;
  for (std::int64_t at = 0; at < count; ++at) sum += at * first / divisor;
  return sum;
}

TEST_F(Cache, KernelsThatDifferInConstantsShareCode) {
  std::vector<KernelSource> sources{sums(7, 10, 3), sums(8, 10, 3), sums(7, 1000, 3), writes(5), writes(6), sums(1 << 20, 3, 3)};
  std::vector<std::int64_t> expected{sum_of(7, 10, 3), sum_of(8, 10, 3), sum_of(7, 1000, 3), 5, 6, sum_of(1 << 20, 3, 3)};
  auto kernels = compile(sources);
  EXPECT_EQ(kernels.compiled, 6);
  EXPECT_EQ(kernels.codes, 2);
  for (std::size_t k = 0; k < sources.size(); ++k) EXPECT_EQ(run(kernels.functions[k]), expected[k]) << k;
  EXPECT_NE(kernels.functions[0], kernels.functions[1]);
  // From the cache some of them, among others.
  auto some = compile({sums(8, 10, 3), sums(9, 10, 3), writes(6)});
  EXPECT_EQ(some.compiled, 1);
  EXPECT_EQ(some.from_cache, 2);
  EXPECT_EQ(run(some.functions[0]), sum_of(8, 10, 3));
  EXPECT_EQ(run(some.functions[1]), sum_of(9, 10, 3));
  EXPECT_EQ(run(some.functions[2]), 6);
  auto loaded = load_kernels(kernels.names, settings);
  ASSERT_TRUE(loaded);
  for (std::size_t k = 0; k < sources.size(); ++k) EXPECT_EQ(run(loaded->functions[k]), expected[k]) << k;
}

// Whoever divides in a loop is compiled for its divisor.
TEST_F(Cache, DivisorsInLoopsStay) {
  auto kernels = compile({sums(7, 10, 3), sums(7, 10, 5)});
  EXPECT_EQ(kernels.codes, 2);
  EXPECT_EQ(run(kernels.functions[0]), sum_of(7, 10, 3));
  EXPECT_EQ(run(kernels.functions[1]), sum_of(7, 10, 5));
}

TEST_F(Cache, LosesAllThatShareALostObject) {
  std::vector<KernelSource> sources{writes(1), writes(2), writes(3)};
  auto names = compile(sources).names;
  for (const fs::path& path : files())
    if (std::ranges::none_of(names, [&](const std::string& name) { return path.filename() == kernel_file(name); })) fs::remove(path);
  EXPECT_FALSE(load_kernels(names, settings));
  auto again = compile(sources);
  EXPECT_EQ(again.compiled, 3);
  for (std::size_t k = 0; k < sources.size(); ++k) EXPECT_EQ(run(again.functions[k]), static_cast<std::int64_t>(k) + 1);
}

TEST_F(Cache, AFaultOfABuilderIsThrown) {
  KernelSource bad{"bad", [](llvm::Module&, const std::string&) { throw std::logic_error("no such schedule"); }};
  EXPECT_THROW(compile({writes(1), bad}), std::logic_error);
}

TEST(Targets, Named) {
  EXPECT_GE(host_target().vector_bytes, 16);
  EXPECT_TRUE(runs_here(host_target()));
  EXPECT_THROW(target_named("z80"), std::runtime_error);
#if defined(__x86_64__)
  EXPECT_EQ(target_named("avx512").lanes(4), 16);
  EXPECT_EQ(target_named("avx2").lanes(4), 8);
  EXPECT_FALSE(target_named("plain").has_fma);
#endif
}

TEST(KernelTexts, BothForms) {
  auto text = kernel_text(writes(42), host_target());
  EXPECT_NE(text.ir.find("define void @kernel"), std::string::npos) << text.ir;
  EXPECT_NE(text.assembly.find("kernel"), std::string::npos);
}

}  // namespace
}  // namespace heed
