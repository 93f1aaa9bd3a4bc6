/*
 * The daemon's HTTP server with a state that stands in, for tests from outside:
 *   fake_server --routes                      the table: method, path, right and operation of each
 *   fake_server --metrics                     the names of all metrics
 *   fake_server SOCKET [NAME=VALUE...]        serves until standard input ends; prints "ready PORT"
 * Names: listen, token_file, jwt_key_file, jwt_unverified, snapshot, tenants, timeout, mig_library, mig_locks, relay_state (made, with a GPU in pool A).
 */
#include "daemon/http/metrics.h"
#include "daemon/http/route.h"
#include "daemon/http/server.h"
#include "fake_state.h"
#include "remote/relay/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *value_of(int argc, char **argv, const char *name) {
    size_t length = strlen(name);

    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            return argv[i] + length + 1;
    return NULL;
}

static int print_tables(const char *which) {
    if (strcmp(which, "--routes") == 0)
        for (size_t i = 0; i < divvy_http_route_count; i++)
            printf("%s %s %s %s\n", divvy_http_routes[i].method, divvy_http_routes[i].pattern,
                   divvy_http_right_name(divvy_http_routes[i].right), divvy_http_routes[i].operation);
    else
        for (size_t i = 0; divvy_metrics_name(i); i++)
            puts(divvy_metrics_name(i));
    return 0;
}

/* A relay's state with a GPU of which nothing is taken. */
static int relay_make(const char *path, struct divvy_error *error) {
    const struct divvy_relay_store_gpu gpu = {.pool = 'A', .vms_max = 4, .name = "H100"};
    struct divvy_relay_store *store;
    int status = divvy_relay_store_open(path, 1000, &store, error);

    if (status < 0)
        return status;
    status = divvy_relay_store_gpu_set(store, &gpu, error);
    divvy_relay_store_close(store);
    return status;
}

int main(int argc, char **argv) {
    const char *timeout = value_of(argc, argv, "timeout"), *tenants = value_of(argc, argv, "tenants");
    struct divvy_http_options options = {.socket_mode = 0666, .socket_fd = -1};
    struct divvy_error error = {0};
    struct divvy_daemon *state;
    struct divvy_http *server = NULL;
    char byte;

    if (argc < 2)
        return 2;
    if (argv[1][0] == '-')
        return print_tables(argv[1]);
    options.socket_path = argv[1];
    options.listen = value_of(argc, argv, "listen");
    options.token_file = value_of(argc, argv, "token_file");
    options.jwt_key_file = value_of(argc, argv, "jwt_key_file");
    options.jwt_unverified = value_of(argc, argv, "jwt_unverified") != NULL;
    options.mig_library = value_of(argc, argv, "mig_library");
    options.mig_lock_dir = value_of(argc, argv, "mig_locks");
    options.connections_per_peer = 4096;
    options.connections_max = 4096;
    options.request_timeout_s = timeout ? (uint32_t)atoi(timeout) : 0;
    options.vgpu.state = value_of(argc, argv, "relay_state");
    options.vgpu.admin = "/nonexistent/admin";
    if (options.vgpu.state && relay_make(options.vgpu.state, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    state = fake_new();
    fake_can_snapshot(state, value_of(argc, argv, "snapshot") != NULL);
    fake_tenant_add(state, "prod/web-0/main", "prod", "web-0", "main", DIVVY_NODE_QOS_HIGH, 0, 4242, 1 << 30);
    for (int i = 0; tenants && i < atoi(tenants); i++) {
        char id[32];

        snprintf(id, sizeof id, "tenant-%d", i);
        fake_tenant_add(state, id, "", "", "", DIVVY_NODE_QOS_LOW, 1000, 0, 4096);
    }
    if (divvy_http_start(state, &options, &server, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    printf("ready %u\n", server->listener_count > 1 ? server->listeners[1].port : 0);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    divvy_http_stop(server);
    fake_free(state);
    return 0;
}
