// What tests in the process of the stand-in driver tell it and ask it.
#pragma once

extern "C" {

// A kernel of this name calls `function` with its first `parameters` pointers; those nobody has given do nothing.
void fake_kernel(const char* name, int parameters, void (*function)(void* const* parameters));
// Streams run when somebody waits for them, as late as events allow; with `early_copies` to the device run at once, with what is before
// them on their stream.
void fake_order(bool early_copies);
// How often a function of the driver was called, by its name without "cu".
long fake_calls(const char* name);
}
