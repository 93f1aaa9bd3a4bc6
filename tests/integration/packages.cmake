# Packages and tarball of this build in a bare Debian. Not of builds with sanitizers, which nobody ships.
if(NOT DIVVY_SANITIZE AND TARGET divvyd AND TARGET ggo AND TARGET divvy-runner)
    add_test(NAME integration/packages COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/packages.sh ${CMAKE_BINARY_DIR})
    set_tests_properties(integration/packages PROPERTIES LABELS integration TIMEOUT 600 SKIP_RETURN_CODE 77)
endif()
