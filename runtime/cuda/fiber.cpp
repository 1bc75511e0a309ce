// Switching stacks: a few instructions on x86-64, the C library's slower contexts elsewhere.
#include "runtime/cuda/fiber.h"

#include <cstdlib>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace heed {
namespace {

thread_local Fiber* current = nullptr;

}  // namespace

#if defined(__x86_64__)

// Saves what a call must keep, leaves the stack pointer at *from, and goes on where `to` was left.
extern "C" void heed_switch_stack(void** from, void* to);
asm(R"(
.text
.globl heed_switch_stack
.type heed_switch_stack, @function
heed_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size heed_switch_stack, . - heed_switch_stack
)");

namespace {
thread_local void* resumer = nullptr;
}

void Fiber::start(std::byte* stack, void (*entry)(void*), void* argument) {
  entry_ = entry, argument_ = argument, ended_ = false;
  auto** top = reinterpret_cast<void**>(stack + stack_bytes);
  *--top = nullptr;  // keeps the stack aligned as after a call
  *--top = reinterpret_cast<void*>(&Fiber::run);
  for (int k = 0; k < 6; ++k) *--top = nullptr;
  stack_pointer_ = top;
}

void Fiber::resume() {
  current = this;
  heed_switch_stack(&resumer, stack_pointer_);
}

void Fiber::pause() { heed_switch_stack(&current->stack_pointer_, resumer); }

#else

namespace {
thread_local ucontext_t resumer;
}

void Fiber::start(std::byte* stack, void (*entry)(void*), void* argument) {
  entry_ = entry, argument_ = argument, ended_ = false;
  auto context = std::make_shared<ucontext_t>();
  getcontext(context.get());
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = stack_bytes;
  context->uc_link = nullptr;
  makecontext(context.get(), reinterpret_cast<void (*)()>(&Fiber::run), 0);
  context_ = context;
}

void Fiber::resume() {
  current = this;
  swapcontext(&resumer, static_cast<ucontext_t*>(context_.get()));
}

void Fiber::pause() { swapcontext(static_cast<ucontext_t*>(current->context_.get()), &resumer); }

#endif

void Fiber::run() {
  current->entry_(current->argument_);
  current->ended_ = true;
  pause();
  std::abort();
}

}  // namespace heed
