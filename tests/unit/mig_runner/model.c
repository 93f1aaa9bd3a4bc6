/* Model files: what is taken, what is refused and how it is said. */
#include "mig/runner/model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LEAST "\"name\": \"m\", \"engine\": \"python3\", \"model_path\": \"/m.py\", "
#define SIZES "\"vram_limit\": \"3GiB\", \"cpu_mem_limit\": \"2048MB\""

static int parse(const char *text, struct divvy_runner_model *ret_model, struct divvy_error *error) {
    return divvy_runner_model_parse(text, strlen(text), ret_model, error);
}

static void usual(void **state) {
    struct divvy_runner_model model;

    (void)state;
    assert_int_equal(parse("{" LEAST SIZES "}", &model, NULL), 0);
    assert_string_equal(model.name, "m");
    assert_string_equal(model.arguments[0], "python3");
    assert_string_equal(model.arguments[1], "/m.py");
    assert_null(model.arguments[2]);
    assert_int_equal(model.vram_limit_bytes, 3221225472);
    assert_int_equal(model.memory_bytes, 2147483648);
    assert_string_equal(model.slo_class, "interactive");
    assert_string_equal(model.gpu_device, "0");
    assert_string_equal(model.weights, "");
    assert_int_equal(model.batch_max, 1);
    assert_int_equal(model.port, 8080);
    divvy_runner_model_done(&model);
}

static void all(void **state) {
    struct divvy_runner_model model;

    (void)state;
    assert_int_equal(parse("{" LEAST SIZES ", \"model_args\": [\"--port\", \"1 2\"], \"weights\": \"/w\", \"slo_class\": \"batch\","
                           "\"batch_max\": 32, \"port\": 9000, \"gpu_device\": \"GPU-1\"}",
                           &model, NULL),
                     0);
    assert_string_equal(model.arguments[2], "--port");
    assert_string_equal(model.arguments[3], "1 2");
    assert_null(model.arguments[4]);
    assert_string_equal(model.weights, "/w");
    assert_string_equal(model.slo_class, "batch");
    assert_int_equal(model.batch_max, 32);
    assert_int_equal(model.port, 9000);
    assert_string_equal(model.gpu_device, "GPU-1");
    divvy_runner_model_done(&model);
}

static void refused(void **state) {
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "line 1"},
        {"[]", "no JSON object"},
        {"{", "line 1"},
        {"{\"name\": \"m\"}", "\"engine\" is missing"},
        {"{" LEAST SIZES ", \"prot\": 1}", "no key \"prot\""},
        {"{" LEAST SIZES ", \"port\": 1, \"port\": 2}", "uplicate"},
        {"{" LEAST SIZES ", \"port\": 0}", "\"port\""},
        {"{" LEAST SIZES ", \"port\": 65536}", "\"port\""},
        {"{" LEAST SIZES ", \"port\": \"80\"}", "\"port\""},
        {"{" LEAST SIZES ", \"batch_max\": -1}", "\"batch_max\""},
        {"{" LEAST SIZES ", \"model_args\": [1]}", "\"model_args\""},
        {"{" LEAST SIZES ", \"model_args\": \"a\"}", "\"model_args\""},
        {"{" LEAST SIZES ", \"slo_class\": \"\"}", "\"slo_class\""},
        {"{" LEAST SIZES ", \"weights\": null}", "\"weights\""},
        {"{" LEAST "\"vram_limit\": \"5\", \"cpu_mem_limit\": \"1gb\"}", "\"vram_limit\""},
        {"{" LEAST "\"vram_limit\": \"1.5GB\", \"cpu_mem_limit\": \"1gb\"}", "\"vram_limit\""},
        {"{" LEAST "\"vram_limit\": \"3 GiB\", \"cpu_mem_limit\": \"1gb\"}", "\"vram_limit\""},
        {"{" LEAST "\"vram_limit\": 5, \"cpu_mem_limit\": \"1gb\"}", "\"vram_limit\""},
        {"{" LEAST "\"vram_limit\": \"0gb\", \"cpu_mem_limit\": \"1gb\"}", "\"vram_limit\""},
        {"{" LEAST "\"vram_limit\": \"1gb\", \"cpu_mem_limit\": \"99999999999tb\"}", "\"cpu_mem_limit\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct divvy_runner_model model = {0};
        struct divvy_error error = {0};

        assert_true(parse(cases[i].text, &model, &error) < 0);
        if (!strstr(error.text, cases[i].part))
            fail_msg("%s: %s", cases[i].text, error.text);
        assert_null(model.json);
    }
}

static void files(void **state) {
    char folder[] = "/tmp/divvy-model-XXXXXX", path[64];
    struct divvy_runner_model model;
    struct divvy_error error;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(divvy_runner_model_read(folder, &model, &error), -EISDIR);
    (void)snprintf(path, sizeof path, "%s/m", folder);
    assert_int_equal(divvy_runner_model_read(path, &model, &error), -ENOENT);
    assert_non_null(strstr(error.text, path));
    /* A pipe that nobody writes to must not hold the runner. */
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(divvy_runner_model_read(path, &model, &error), -ENODEV);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(usual), cmocka_unit_test(all), cmocka_unit_test(refused),
                                       cmocka_unit_test(files)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
