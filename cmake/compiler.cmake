# Sets CARROUSEL_COMPILER_FOUND. Having no compiler is a way to run; having one that does not work is an error, with its reason.
include(CheckLanguage)

# Python's build tools put the name of the compiler that built Python into CXX. Where that one is not here, another may be.
if(NOT "$ENV{CXX}" STREQUAL "" AND NOT IS_ABSOLUTE "$ENV{CXX}")
  separate_arguments(words UNIX_COMMAND "$ENV{CXX}") # such as "ccache g++"
  list(GET words 0 name)
  find_program(on_path NAMES ${name} NO_CACHE NO_DEFAULT_PATH PATHS ENV PATH)
  if(NOT on_path)
    unset(ENV{CXX})
  endif()
endif()

check_language(CXX)
set(CARROUSEL_COMPILER_FOUND ON)
if(NOT CMAKE_CXX_COMPILER)
  unset(CMAKE_CXX_COMPILER CACHE) # or a compiler installed later would never be looked for
  set(names c++ g++ clang++)
  if(DEFINED ENV{CXX})
    separate_arguments(words UNIX_COMMAND "$ENV{CXX}")
    list(GET words 0 names)
  endif()
  find_program(broken NAMES ${names} NO_CACHE)
  if(broken)
    message(NOTICE "${broken} is there but does not work; CMake says why. Mend it, choose another with CXX=..., or "
                   "install without kernels: pip install . --config-settings=cmake.define.CARROUSEL_KERNELS=OFF")
  else()
    set(CARROUSEL_COMPILER_FOUND OFF)
  endif()
endif()

function(carrousel_require_compiler)
  set(oldest_GNU 11) # the first to know -march=x86-64-v4
  set(oldest_Clang 12)
  set(oldest_AppleClang 14)
  set(oldest "${oldest_${CMAKE_CXX_COMPILER_ID}}")
  if("${oldest}" STREQUAL "" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS "${oldest}")
    message(FATAL_ERROR "the kernels need GCC 11 or Clang 12, or later; ${CMAKE_CXX_COMPILER} is ${CMAKE_CXX_COMPILER_ID} "
                        "${CMAKE_CXX_COMPILER_VERSION}. Choose another with CXX=..., or install without kernels: "
                        "pip install . --config-settings=cmake.define.CARROUSEL_KERNELS=OFF")
  endif()
endfunction()
