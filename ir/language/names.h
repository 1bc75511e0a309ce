// Which names a definition mentions: warnings of what is written and never used.
#pragma once
#include "ir/language/module.h"

namespace heed {

void warn_of_unused_names(const syntax::Function& function, Diagnostics& diagnostics);
void warn_of_unused_lets(const Module& module, Diagnostics& diagnostics);

}  // namespace heed
