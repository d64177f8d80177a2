# Fails if an instruction set's object file defines a function that another's may define too: the linker keeps one of them for
# all, and a machine without AVX-512 would run into AVX-512 code. No test on a new machine would notice.
foreach(target IN LISTS TARGETS)
  execute_process(COMMAND ${NM} --demangle --defined-only ${OBJECTS_${target}} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE ";" "," symbols "${symbols}")
  string(REGEX MATCHALL "[^\n]+ [WVu] [^\n]+" shared "${symbols}") # weak: the linker may take any file's
  # excluded too: an interface's name, which is data; and what exceptions need: data in GCC's files, two plain calls in clang's
  set(harmless "typeinfo [a-z ]*carrousel::lstm1997::Online|DW\\.ref\\.|__clang_call_terminate")
  list(FILTER shared EXCLUDE REGEX "carrousel::${target}::|${harmless}")
  if(shared)
    list(JOIN shared "\n  " shared)
    message(FATAL_ERROR "the ${target} kernels share with the others:\n  ${shared}\nMake it static, or put it into "
                        "namespace carrousel::CARROUSEL_TARGET.")
  endif()
endforeach()
