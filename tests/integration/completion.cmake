# Completion for bash of every program that is built.
if(TARGET divvy AND TARGET ggo AND TARGET divvy-relay AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/completion COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/completion.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR}/bin)
    set_tests_properties(integration/completion PROPERTIES LABELS integration TIMEOUT 120)
endif()
