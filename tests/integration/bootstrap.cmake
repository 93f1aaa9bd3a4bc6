# divvy bootstrap, and programs of glibc, of musl and without either below its folders. A sanitized limiter cannot be preloaded.
if(TARGET divvy AND TARGET divvy_limiter_so AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/bootstrap COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bootstrap.sh ${CMAKE_BINARY_DIR})
    set_tests_properties(integration/bootstrap PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77)
endif()
