/* A worker's handles against a model, its table of operations, its command line. */
#include "remote/worker/handles.h"
#include "remote/worker/options.h"
#include "remote/worker/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define OBJECTS 500

static void every_operation_is_there(void **state) {
    size_t count;
    const struct divvy_wire_op *table = divvy_wire_op_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++)
        assert_true(table[i].number == DIVVY_WIRE_OP_HELLO || divvy_worker_operation_find(table[i].number));
    assert_null(divvy_worker_operation_find(0x7777));
    assert_null(divvy_worker_operation_find(0xFE));
}

struct object {
    uint64_t number, owner;
    char *pointer;
    bool lives;
};

static void object_end(struct object *objects, size_t count, uint64_t number) {
    for (size_t i = 0; i < count; i++) {
        if (objects[i].number == number)
            objects[i].lives = false;
    }
    for (size_t i = 0; i < count; i++)
        if (objects[i].lives && objects[i].owner == number)
            object_end(objects, count, objects[i].number);
}

static void handles_are_as_the_model(void **state) {
    unsigned int seed = (unsigned int)time(NULL);
    struct divvy_worker_handles handles = {0};
    struct object objects[OBJECTS] = {0};
    static char place[OBJECTS];
    size_t count = 0;

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    while (count < OBJECTS) {
        if (rand() % 3) {
            struct object *object = &objects[count];
            size_t owner = count ? (size_t)rand() % count : 0;

            object->owner = count && objects[owner].lives ? objects[owner].number : 0;
            object->pointer = &place[count++];
            object->lives = true;
            assert_int_equal(divvy_worker_handle_add(&handles, DIVVY_WORKER_STREAM, object->pointer, object->owner,
                                                     &object->number), 0);
        } else if (count) {
            size_t i = (size_t)rand() % count;

            divvy_worker_handle_remove(&handles, objects[i].number);
            if (objects[i].lives)
                object_end(objects, count, objects[i].number);
        }
        for (size_t i = 0; i < count; i++) {
            const struct divvy_worker_handle *found =
                divvy_worker_handle_find(&handles, DIVVY_WORKER_STREAM, objects[i].number);

            assert_int_equal(found != NULL, objects[i].lives);
            assert_true(!found || found->object == objects[i].pointer);
            assert_null(divvy_worker_handle_find(&handles, DIVVY_WORKER_EVENT, objects[i].number));
        }
    }
    assert_null(divvy_worker_handle_find(&handles, DIVVY_WORKER_STREAM, 0));
    assert_null(divvy_worker_handle_find(&handles, DIVVY_WORKER_FREE, UINT64_MAX));
    divvy_worker_handles_done(&handles);
}

static int parse(struct divvy_worker_options *options, char **argv) {
    struct divvy_error error = {0};
    int argc = 0, status;

    while (argv[argc])
        argc++;
    status = divvy_worker_options_parse(argc, argv, options, &error);
    assert_int_equal(status, error.status);
    assert_true(status == 0 || error.text[0]);
    return status;
}

#define ARGV(...) ((char *[]){"divvy-worker", __VA_ARGS__, NULL})

static void command_lines_are_understood(void **state) {
    struct divvy_worker_options options;

    (void)state;
    assert_int_equal(parse(&options, ((char *[]){"divvy-worker", NULL})), 0);
    assert_true(options.has_tcp && options.port == DIVVY_WORKER_PORT && options.clients == DIVVY_WORKER_CLIENTS);
    assert_int_equal(parse(&options, ARGV("-M", "256", "-m", "/dev/shm/x", "-n", "native", "-p", "7001")), 0);
    assert_int_equal(options.port, 7001);
    assert_int_equal(parse(&options, ARGV("--socket", "/tmp/x")), 0);
    assert_true(!options.has_tcp && strcmp(options.socket, "/tmp/x") == 0);
    assert_int_equal(parse(&options, ARGV("--port=0", "--socket=/tmp/x", "--bind", "::1", "--clients", "7")), 0);
    assert_true(options.has_tcp && options.clients == 7);
    assert_int_equal(parse(&options, ARGV("-p", "65536")), -EINVAL);
    assert_int_equal(parse(&options, ARGV("-p", "-1")), -EINVAL);
    assert_int_equal(parse(&options, ARGV("-p")), -EINVAL);
    assert_int_equal(parse(&options, ARGV("-n", "shmem")), -EINVAL);
    assert_int_equal(parse(&options, ARGV("--clients", "0")), -EINVAL);
    assert_int_equal(parse(&options, ARGV("--socket", "/tmp/x", "--bind", "::1")), -EINVAL);
    assert_int_equal(parse(&options, ARGV("--what")), -EINVAL);
    assert_int_equal(parse(&options, ARGV("more")), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_there),
        cmocka_unit_test(handles_are_as_the_model),
        cmocka_unit_test(command_lines_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
