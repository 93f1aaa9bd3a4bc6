add_test(NAME integration/addpath
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/addpath.sh $<TARGET_FILE:add_path> ${DIVVY_SANITIZE})
set_tests_properties(integration/addpath PROPERTIES LABELS integration TIMEOUT 60 SKIP_RETURN_CODE 77)
