# Writes a C++ file that holds a text file as the function heed::${NAME}() of ${HEADER}.
include(${CMAKE_CURRENT_LIST_DIR}/text_literal.cmake)
file(READ ${INPUT} text)
text_literal("${text}" literal)
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nnamespace heed {\n\nstd::string_view ${NAME}() { return\n${literal}; }\n\n}  // namespace heed\n")
