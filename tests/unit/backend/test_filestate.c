/* State files: what is read, what is kept, what is refused. */
#include "backend/filestate.h"
#include "room.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "workers.json"

struct fixture {
    struct room room;
    struct divvy_backend_filestate *state;
    struct divvy_error error;
};

static int setup(void **data) {
    struct fixture *f = calloc(1, sizeof *f);

    room_open(&f->room);
    must(divvy_backend_filestate_open(f->room.fd, FILE_NAME, DIVVY_BACKEND_WORKERS, &f->state, &f->error), &f->error);
    *data = f;
    return 0;
}

static int teardown(void **data) {
    struct fixture *f = *data;

    divvy_backend_filestate_close(f->state);
    room_close(&f->room);
    free(f);
    return 0;
}

static json_t *read_all(struct fixture *f, struct divvy_backend_findings *findings) {
    json_t *array = NULL;

    must(divvy_backend_filestate_read(f->state, &array, findings, &f->error), &f->error);
    return array;
}

static void put_text(struct fixture *f, const char *text) {
    json_t *object = json_loads(text, 0, NULL);

    assert_non_null(object);
    must(divvy_backend_filestate_put(f->state, object, &f->error), &f->error);
    json_decref(object);
}

static void assert_file(struct fixture *f, const char *expected) {
    char *text = room_read(&f->room, FILE_NAME);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

/* --- reading ----------------------------------------------------------------------------------------------------------------- */

static void nothing_is_empty(void **data) {
    static const char *const texts[] = {"", " \n\t", "[]", "null", "[null, null]"};
    struct fixture *f = *data;
    json_t *array = read_all(f, NULL);

    assert_int_equal(json_array_size(array), 0);
    json_decref(array);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        room_write(&f->room, FILE_NAME, texts[i]);
        array = read_all(f, NULL);
        assert_int_equal(json_array_size(array), 0);
        json_decref(array);
    }
}

static void the_last_of_an_id_counts(void **data) {
    struct divvy_backend_findings findings;
    struct fixture *f = *data;
    char name[32];
    json_t *array;

    room_write(&f->room, FILE_NAME,
               "[{\"WorkerUID\":\"a\",\"WorkerName\":\"one\"},{\"workeruid\":\"b\"},{\"WorkerUID\":\"a\",\"workername\":\"two\"},"
               "{\"WorkerUID\":\"\"},{\"WorkerUID\":7},{\"Other\":1},17,null]");
    array = read_all(f, &findings);
    assert_int_equal(json_array_size(array), 2);
    assert_string_equal(divvy_backend_object_id(json_array_get(array, 0), DIVVY_BACKEND_WORKERS), "a");
    must(divvy_backend_object_text(json_array_get(array, 0), "WorkerName", name, sizeof name), &f->error);
    assert_string_equal(name, "two");
    assert_int_equal(findings.duplicates, 1);
    assert_int_equal(findings.nameless, 4);
    json_decref(array);
}

static void broken_is_no_empty_file(void **data) {
    static const char *const texts[] = {
        "[", "[{\"WorkerUID\":\"a\"}", "{}", "17", "\"text\"", "[]x", "\xff\xfe", "[{\"WorkerUID\":\"\xff\"}]",
        "[{\"worker_id\":\"wk_1\",\"gpu_ids\":[]}]", "[{\"UUID\":\"GPU-1\"}]", "[{\"n\":99999999999999999999999}]",
    };
    struct fixture *f = *data;
    json_t *array = NULL;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        room_write(&f->room, FILE_NAME, texts[i]);
        f->error = (struct divvy_error){0, ""};
        assert_int_equal(divvy_backend_filestate_read(f->state, &array, NULL, &f->error), -EBADMSG);
        assert_null(array);
        assert_true(strstr(f->error.text, FILE_NAME));
    }
}

static void deep_nesting_ends(void **data) {
    struct fixture *f = *data;
    static char text[200001];
    json_t *array;

    memset(text, '[', sizeof text - 1);
    room_write(&f->room, FILE_NAME, text);
    assert_int_equal(divvy_backend_filestate_read(f->state, &array, NULL, &f->error), -EBADMSG);
}

static void a_huge_file_is_refused(void **data) {
    struct fixture *f = *data;
    json_t *array;

    room_write(&f->room, FILE_NAME, "[]");
    {
        int fd = openat(f->room.fd, FILE_NAME, O_WRONLY);

        assert_int_equal(ftruncate(fd, (off_t)DIVVY_BACKEND_FILE_BYTES + 1), 0);
        (void)close(fd);
    }
    assert_int_equal(divvy_backend_filestate_read(f->state, &array, NULL, &f->error), -EFBIG);
}

static void only_files_are_read(void **data) {
    struct fixture *f = *data;
    json_t *array;

    room_write(&f->room, "elsewhere", "[{\"WorkerUID\":\"a\"}]");
    assert_int_equal(symlinkat("elsewhere", f->room.fd, FILE_NAME), 0);
    assert_int_equal(divvy_backend_filestate_read(f->state, &array, NULL, &f->error), -EBADMSG);
    assert_int_equal(unlinkat(f->room.fd, FILE_NAME, 0), 0);
    assert_int_equal(mkfifoat(f->room.fd, FILE_NAME, 0600), 0);
    assert_int_equal(divvy_backend_filestate_read(f->state, &array, NULL, &f->error), -EBADMSG);
    assert_int_equal(unlinkat(f->room.fd, FILE_NAME, 0), 0);
    assert_int_equal(mkdirat(f->room.fd, FILE_NAME, 0700), 0);
    assert_int_equal(divvy_backend_filestate_read(f->state, &array, NULL, &f->error), -EBADMSG);
    put_text(f, "{\"WorkerUID\":\"a\"}"); /* even that is kept, under another name */
    assert_int_equal(room_count(&f->room, FILE_NAME ".unreadable-"), 1);
    assert_file(f, "[\n  {\n    \"WorkerUID\": \"a\"\n  }\n]\n");
}

/* --- writing ----------------------------------------------------------------------------------------------------------------- */

static void what_is_foreign_stays(void **data) {
    struct fixture *f = *data;

    room_write(&f->room, FILE_NAME,
               "[{\"Zeta\":{\"b\":1,\"a\":[1,2.5,null]},\"workeruid\":\"a\",\"status\":\"Pending\",\"Alpha\":\"\\u0000\"},\n"
               "17,{\"WorkerUID\":\"b\",\"Status\":\"Running\"},{\"Nameless\":true}]");
    put_text(f, "{\"WorkerUID\":\"a\",\"Status\":\"Running\",\"QoS\":\"low\"}");
    assert_file(f, "[\n  {\n    \"Zeta\": {\n      \"b\": 1,\n      \"a\": [\n        1,\n        2.5,\n        null\n      ]\n    },\n"
                   "    \"workeruid\": \"a\",\n    \"status\": \"Running\",\n    \"Alpha\": \"\\u0000\",\n    \"QoS\": \"low\"\n  },\n"
                   "  17,\n  {\n    \"WorkerUID\": \"b\",\n    \"Status\": \"Running\"\n  },\n  {\n    \"Nameless\": true\n  }\n]\n");
    must(divvy_backend_filestate_remove(f->state, "a", &f->error), &f->error);
    assert_file(f, "[\n  17,\n  {\n    \"WorkerUID\": \"b\",\n    \"Status\": \"Running\"\n  },\n  {\n    \"Nameless\": true\n  }\n]\n");
    assert_int_equal(divvy_backend_filestate_remove(f->state, "a", &f->error), -ENOENT);
}

static void a_removed_id_does_not_rise_again(void **data) {
    struct fixture *f = *data;
    json_t *array;

    room_write(&f->room, FILE_NAME, "[{\"WorkerUID\":\"a\"},{\"WorkerUID\":\"a\"},{\"WorkerUID\":\"a\"},{\"WorkerUID\":\"b\"}]");
    must(divvy_backend_filestate_remove(f->state, "a", &f->error), &f->error);
    array = read_all(f, NULL);
    assert_int_equal(json_array_size(array), 1);
    json_decref(array);
}

static void the_mode_stays(void **data) {
    struct fixture *f = *data;
    struct stat status;

    room_write(&f->room, FILE_NAME, "[]");
    assert_int_equal(fchmodat(f->room.fd, FILE_NAME, 0600, 0), 0);
    put_text(f, "{\"WorkerUID\":\"a\"}");
    assert_int_equal(fstatat(f->room.fd, FILE_NAME, &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void broken_is_kept_beside(void **data) {
    struct fixture *f = *data;
    json_t *array;
    char *text;

    room_write(&f->room, FILE_NAME, "[{\"WorkerUID\":\"a\"}]");
    array = read_all(f, NULL);
    json_decref(array);
    room_write(&f->room, FILE_NAME, "[{\"WorkerUID\":\"a\"},{\"Work");
    put_text(f, "{\"WorkerUID\":\"b\"}");
    assert_int_equal(room_count(&f->room, FILE_NAME ".unreadable-"), 1);
    text = room_read(&f->room, divvy_backend_filestate_aside(f->state));
    assert_string_equal(text, "[{\"WorkerUID\":\"a\"},{\"Work");
    free(text);
    array = read_all(f, NULL);
    assert_int_equal(json_array_size(array), 2); /* the last that could be read, and what was put */
    json_decref(array);
}

static int give_up(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    (void)data;
    (void)divvy_backend_entries_put(entries, "x");
    return divvy_error_set(error, -ECANCELED, "given up");
}

static int leave(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    (void)data;
    (void)error;
    (void)divvy_backend_entries_put(entries, "x");
    return DIVVY_BACKEND_UNCHANGED;
}

/* Another program, that knows nothing of locks, writes during the change. */
static int interfere(void *data, struct divvy_backend_entries *entries, struct divvy_error *error) {
    struct fixture *f = data;

    (void)error;
    if (!divvy_backend_entries_find(entries, "foreign"))
        room_write(&f->room, FILE_NAME, "[{\"WorkerUID\":\"foreign\"}]");
    return divvy_backend_entries_put(entries, "ours") ? 0 : -ENOMEM;
}

static void changes_can_be_given_up(void **data) {
    struct fixture *f = *data;

    assert_int_equal(divvy_backend_filestate_change(f->state, give_up, NULL, &f->error), -ECANCELED);
    must(divvy_backend_filestate_change(f->state, leave, NULL, &f->error), &f->error);
    assert_int_equal(room_count(&f->room, FILE_NAME), 1); /* the lock */
}

static void foreign_writers_are_noticed(void **data) {
    struct fixture *f = *data;
    json_t *array;

    must(divvy_backend_filestate_change(f->state, interfere, f, &f->error), &f->error);
    array = read_all(f, NULL);
    assert_int_equal(json_array_size(array), 2);
    json_decref(array);
    assert_int_equal(room_count(&f->room, "."), 2); /* "." and "..": no temporary file */
}

static void leftovers_go(void **data) {
    struct divvy_backend_filestate *second;
    struct fixture *f = *data;

    room_write(&f->room, "." FILE_NAME ".123.abc.tmp", "[");
    room_write(&f->room, FILE_NAME ".tmp", "["); /* another program's */
    must(divvy_backend_filestate_open(f->room.fd, FILE_NAME, DIVVY_BACKEND_WORKERS, &second, &f->error), &f->error);
    divvy_backend_filestate_close(second);
    assert_int_equal(room_count(&f->room, "." FILE_NAME), 0);
    assert_int_equal(room_count(&f->room, FILE_NAME ".tmp"), 1);
}

static void devices_have_no_case(void **data) {
    struct divvy_backend_filestate *devices;
    struct fixture *f = *data;
    json_t *object = json_pack("{s:s}", "UUID", "GPU-ABC"), *array;

    must(divvy_backend_filestate_open(f->room.fd, "devices.json", DIVVY_BACKEND_DEVICES, &devices, &f->error), &f->error);
    must(divvy_backend_filestate_put(devices, object, &f->error), &f->error);
    must(json_object_set_new(object, "UUID", json_string("gpu-abc")), &f->error);
    must(divvy_backend_filestate_put(devices, object, &f->error), &f->error);
    must(divvy_backend_filestate_read(devices, &array, NULL, &f->error), &f->error);
    assert_int_equal(json_array_size(array), 1);
    json_decref(array);
    json_decref(object);
    divvy_backend_filestate_close(devices);
}

/* --- watching ---------------------------------------------------------------------------------------------------------------- */

static bool is_told(struct fixture *f) {
    struct pollfd ready = {.fd = divvy_backend_filestate_fd(f->state), .events = POLLIN};

    return poll(&ready, 1, 2000) == 1;
}

static void every_kind_of_change_is_told(void **data) {
    struct divvy_backend_filestate *other;
    struct fixture *f = *data;
    json_t *array, *object = json_pack("{s:s}", "WorkerUID", "a");

    must(divvy_backend_filestate_open(f->room.fd, FILE_NAME, DIVVY_BACKEND_WORKERS, &other, &f->error), &f->error);
    for (int way = 0; way < 4; way++) {
        array = read_all(f, NULL);
        json_decref(array);
        (void)divvy_backend_filestate_changed(f->state);
        array = read_all(f, NULL);
        json_decref(array);
        assert_false(divvy_backend_filestate_changed(f->state));
        if (way == 0)
            must(divvy_backend_filestate_put(other, object, &f->error), &f->error);
        else if (way == 1)
            room_write(&f->room, FILE_NAME, "[]");
        else if (way == 2)
            assert_int_equal(unlinkat(f->room.fd, FILE_NAME, 0), 0);
        else
            must(divvy_backend_filestate_put(other, object, &f->error), &f->error);
        assert_true(is_told(f));
        assert_true(divvy_backend_filestate_changed(f->state));
    }
    json_decref(object);
    divvy_backend_filestate_close(other);
}

/* --- the folder -------------------------------------------------------------------------------------------------------------- */

static void folders_of_others_are_refused(void **data) {
    struct fixture *f = *data;
    char path[128], link[128];
    struct stat status;
    int fd;

    (void)snprintf(path, sizeof path, "%s/a/b", f->room.path);
    fd = divvy_backend_folder_open(path, &f->error);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    (void)close(fd);
    (void)snprintf(link, sizeof link, "%s/link", f->room.path);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(divvy_backend_folder_open(link, &f->error), -EPERM);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(divvy_backend_folder_open(path, &f->error), -EPERM);
    assert_true(divvy_backend_folder_open("", &f->error) < 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_of_an_id_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_is_no_empty_file, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_nesting_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(a_huge_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(only_files_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_foreign_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removed_id_does_not_rise_again, setup, teardown),
        cmocka_unit_test_setup_teardown(the_mode_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_is_kept_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_can_be_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_writers_are_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(leftovers_go, setup, teardown),
        cmocka_unit_test_setup_teardown(devices_have_no_case, setup, teardown),
        cmocka_unit_test_setup_teardown(every_kind_of_change_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_of_others_are_refused, setup, teardown),
    };

    (void)umask(0022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
