# Writes a C++ file that holds a text file as the function heed::${NAME}() of ${HEADER}.
file(READ ${INPUT} text)
# Literals are cut at 8000 characters: compilers limit their length.
string(LENGTH "${text}" length)
set(begin 0)
set(literal "")
while(begin LESS length)
  string(SUBSTRING "${text}" ${begin} 8000 part)
  string(APPEND literal "R\"heed_text(${part})heed_text\"\n")
  math(EXPR begin "${begin} + 8000")
endwhile()
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nnamespace heed {\n\nstd::string_view ${NAME}() { return\n${literal}; }\n\n}  // namespace heed\n")
