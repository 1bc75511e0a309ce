// docs/library.md, from the comments of stdlib/*.heed.
#pragma once
#include <string>

namespace heed {

// Every function, layer and optimizer of the standard library by file and section: signature, what its comment says, example.
std::string library_page();

}  // namespace heed
