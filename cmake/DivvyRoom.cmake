# How a room of the source tree is built: one static, position-independent archive per room with hidden
# visibility; shared objects and programs are linked from rooms. Unit tests link the archives directly.

set(DIVVY_WARNINGS
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
    -Wno-sign-conversion)

add_library(divvy_flags INTERFACE)
target_compile_options(divvy_flags INTERFACE ${DIVVY_WARNINGS} -fno-strict-aliasing)
target_compile_definitions(divvy_flags INTERFACE _GNU_SOURCE)
target_include_directories(divvy_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
if(DIVVY_WERROR)
    target_compile_options(divvy_flags INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE MATCHES "Rel")
    target_compile_options(divvy_flags INTERFACE -U_FORTIFY_SOURCE)
endif()
if(DIVVY_FUZZ)
    # The rooms under test are instrumented too: without their coverage the fuzzer is blind.
    target_compile_options(divvy_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(DIVVY_SANITIZE)
    target_compile_options(divvy_flags INTERFACE -fsanitize=${DIVVY_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(divvy_flags INTERFACE -fsanitize=${DIVVY_SANITIZE})
else()
    target_link_options(divvy_flags INTERFACE -Wl,-z,relro,-z,now)
endif()

# Seconds that a unit test may take; sanitizers slow some down twentyfold, and two cores may be busy with others.
set(DIVVY_TEST_TIMEOUT 120)
if(DIVVY_SANITIZE)
    set(DIVVY_TEST_TIMEOUT 300)
endif()

# divvy_room(NAME SOURCES file... [USES room...])
# Target divvy_NAME: the room's archive. A room that links into a library that is loaded into other people's
# processes must stay libc only; tools/check verifies it.
function(divvy_room name)
    cmake_parse_arguments(R "" "" "SOURCES;USES" ${ARGN})
    add_library(divvy_${name} STATIC ${R_SOURCES})
    target_link_libraries(divvy_${name} PUBLIC divvy_flags)
    foreach(used ${R_USES})
        target_link_libraries(divvy_${name} PUBLIC divvy_${used})
    endforeach()
endfunction()

# divvy_shared(TARGET OUTPUT name SCRIPT version-script SOURCES file... [USES room...] [SUBDIR dir])
# A shared object lib/[SUBDIR/]OUTPUT with only the symbols of its version script. It is installed as
# lib/divvy/[SUBDIR/]OUTPUT, and noted in shared-objects.tsv of the build folder for tools/check.
function(divvy_shared target)
    cmake_parse_arguments(S "" "OUTPUT;SCRIPT;SUBDIR;SONAME" "SOURCES;USES" ${ARGN})
    add_library(${target} SHARED ${S_SOURCES})
    set_target_properties(${target} PROPERTIES PREFIX "" SUFFIX "" OUTPUT_NAME ${S_OUTPUT}
        LINK_DEPENDS ${S_SCRIPT} NO_SONAME ON)
    if(S_SUBDIR)
        set_target_properties(${target} PROPERTIES
            LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/${S_SUBDIR})
    endif()
    target_link_libraries(${target} PRIVATE divvy_flags)
    foreach(used ${S_USES})
        target_link_libraries(${target} PRIVATE divvy_${used})
    endforeach()
    target_link_options(${target} PRIVATE -Wl,--version-script=${S_SCRIPT} -Wl,--exclude-libs,ALL)
    if(S_SONAME)
        target_link_options(${target} PRIVATE -Wl,-soname,${S_SONAME})
    endif()
    if(NOT DIVVY_SANITIZE)
        target_link_options(${target} PRIVATE -Wl,-z,defs)
    endif()
    install(TARGETS ${target} LIBRARY DESTINATION lib/divvy/${S_SUBDIR})
    set(file lib/${S_OUTPUT})
    if(S_SUBDIR)
        set(file lib/${S_SUBDIR}/${S_OUTPUT})
    endif()
    set_property(GLOBAL APPEND PROPERTY DIVVY_SHARED_OBJECTS
        "${target}\t${file}\t${S_SCRIPT}\t${S_SONAME}")
endfunction()

# divvy_unit_test(NAME SOURCES file... [USES room...]): a cmocka program run by ctest with label "unit".
function(divvy_unit_test name)
    cmake_parse_arguments(T "" "" "SOURCES;USES;LIBS" ${ARGN})
    add_executable(test_${name} ${T_SOURCES})
    foreach(used ${T_USES})
        target_link_libraries(test_${name} PRIVATE divvy_${used})
    endforeach()
    target_link_libraries(test_${name} PRIVATE divvy_flags cmocka pthread dl m ${T_LIBS})
    set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME unit/${name} COMMAND test_${name})
    set_tests_properties(unit/${name} PROPERTIES LABELS unit TIMEOUT ${DIVVY_TEST_TIMEOUT})
endfunction()

# divvy_fuzz(NAME SOURCES file... [USES room...]): a libFuzzer target when DIVVY_FUZZ is on; always also a
# plain program that replays the corpus tests/fuzz/corpus/NAME as a test.
function(divvy_fuzz name)
    cmake_parse_arguments(F "" "" "SOURCES;USES" ${ARGN})
    if(DIVVY_FUZZ)
        add_executable(fuzz_${name} ${F_SOURCES})
        target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(fuzz_${name} ${F_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
        set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT ${DIVVY_TEST_TIMEOUT})
    endif()
    set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    foreach(used ${F_USES})
        target_link_libraries(fuzz_${name} PRIVATE divvy_${used})
    endforeach()
    target_link_libraries(fuzz_${name} PRIVATE divvy_flags)
endfunction()
