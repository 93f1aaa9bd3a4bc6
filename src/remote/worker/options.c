/* The command line of divvy-worker: see options.h. */
#include "remote/worker/options.h"

#include "core/parse.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char divvy_worker_help[] =
    "Usage: divvy-worker [-p PORT] [--socket PATH] [OPTION...]\n"
    "Serve a GPU to clients elsewhere: JSON jobs and divvy's protocol on one port.\n"
    "\n"
    "  -p, --port=PORT        listen on this TCP port (default 5000 without --socket;\n"
    "                         0: any that is free, and say which)\n"
    "      --bind=ADDRESS     only on this address, as 127.0.0.1 (default: all)\n"
    "      --socket=PATH      listen on a unix socket that only this user can open\n"
    "      --clients=N        serve at most N clients at a time (default 64)\n"
    "      --gpu=sim|N|UUID   the GPU; sim is the simulated one (default: the first)\n"
    "      --memory=SIZE      device memory for all clients together: 8GiB, 50%\n"
    "      --compute=PERCENT  share of GPU time: 1% to 100%\n"
    "      --name=TENANT      name as a tenant (default: made up)\n"
    "      --no-daemon        without divvyd: the limiter alone keeps the limits\n"
    "  -n, --net=native|tcp   how clients reach it: both mean TCP\n"
    "  -m FILE, -M MB         accepted for callers that give them; not used\n"
    "  -h, --help             this text\n"
    "  -V, --version          the version\n"
    "\n"
    "The worker is a tenant as `divvy run' makes one, unless it is started inside a\n"
    "tenant already. Each client has a process of its own; when a client goes, what\n"
    "it had on the GPU is freed. Anybody who can connect can use the GPU: bind to an\n"
    "address or use a socket where that is too many.\n"
    "\n"
    "For example:\n"
    "  divvy-worker -p 5000 --gpu sim\n"
    "  divvy-worker --socket /run/gpu.sock --memory 8GiB --compute 50%\n"
    "  echo '{\"operation\":\"vector_add\",\"array_a\":[1,2,3],\"array_b\":[4,5,6]}' |\n"
    "      nc -N localhost 5000\n"
    "\n"
    "Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot serve (the port is\n"
    "taken, no GPU works), 2 when an argument is wrong.\n";

enum {
    OPTION_BIND = 0x100,
    OPTION_SOCKET,
    OPTION_CLIENTS,
    OPTION_GPU,
    OPTION_MEMORY,
    OPTION_COMPUTE,
    OPTION_NAME,
    OPTION_NO_DAEMON,
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, 'p'},
    {"net", required_argument, NULL, 'n'},
    {"bind", required_argument, NULL, OPTION_BIND},
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"clients", required_argument, NULL, OPTION_CLIENTS},
    {"gpu", required_argument, NULL, OPTION_GPU},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"compute", required_argument, NULL, OPTION_COMPUTE},
    {"name", required_argument, NULL, OPTION_NAME},
    {"no-daemon", no_argument, NULL, OPTION_NO_DAEMON},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static int number_take(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *ret_number,
                       struct divvy_error *error) {
    uint64_t number;

    if (divvy_core_u64_parse(text, strlen(text), &number, NULL) < 0 || number < least || number > most)
        return divvy_error_set(error, -EINVAL, "%s '%.32s': a number from %llu to %llu is needed", option, text,
                               (unsigned long long)least, (unsigned long long)most);
    *ret_number = number;
    return 0;
}

static int net_take(const char *text, struct divvy_error *error) {
    if (strcmp(text, "native") == 0 || strcmp(text, "tcp") == 0)
        return 0;
    if (strcmp(text, "shmem") == 0)
        return divvy_error_set(error, -EINVAL, "-n shmem: not supported by this worker; use tcp, or --socket");
    return divvy_error_set(error, -EINVAL, "-n '%.32s': write native or tcp", text);
}

static int option_take(int key, const char *value, struct divvy_worker_options *options, struct divvy_error *error) {
    uint64_t number = 0;
    int status = 0;

    switch (key) {
    case 'p':
        status = number_take("--port", value, 0, UINT16_MAX, &number, error);
        options->port = (uint16_t)number;
        options->has_tcp = true;
        return status;
    case OPTION_CLIENTS:
        status = number_take("--clients", value, 1, 4096, &number, error);
        options->clients = (unsigned int)number;
        return status;
    case 'n':
        return net_take(value, error);
    case 'M':
        return number_take("-M", value, 0, UINT32_MAX, &number, error);
    case 'm':
        return 0;
    case OPTION_BIND:
        options->address = value;
        return 0;
    case OPTION_SOCKET:
        options->socket = value;
        return 0;
    case OPTION_GPU:
        options->gpu = value;
        return 0;
    case OPTION_MEMORY:
        options->memory = value;
        return 0;
    case OPTION_COMPUTE:
        options->compute = value;
        return 0;
    case OPTION_NAME:
        options->name = value;
        return 0;
    case OPTION_NO_DAEMON:
        options->no_daemon = true;
        return 0;
    case 'h':
        options->help = true;
        return 0;
    default:
        options->version = true;
        return 0;
    }
}

int divvy_worker_options_parse(int argc, char **argv, struct divvy_worker_options *ret_options,
                               struct divvy_error *error) {
    struct divvy_worker_options options = {.clients = DIVVY_WORKER_CLIENTS, .port = DIVVY_WORKER_PORT};
    int key;

    opterr = 0;
    optind = 1;
    while ((key = getopt_long(argc, argv, ":p:n:m:M:hV", long_options, NULL)) != -1) {
        if (key == ':')
            return divvy_error_set(error, -EINVAL, "%.64s needs a value", argv[optind - 1]);
        if (key == '?')
            return divvy_error_set(error, -EINVAL, "unknown option %.64s; see divvy-worker --help", argv[optind - 1]);
        if (option_take(key, optarg, &options, error) < 0)
            return error->status;
    }
    if (optind < argc)
        return divvy_error_set(error, -EINVAL, "'%.64s': no arguments are taken; see divvy-worker --help", argv[optind]);
    if (!options.has_tcp && options.socket && options.address)
        return divvy_error_set(error, -EINVAL, "--bind needs --port when there is a --socket");
    options.has_tcp = options.has_tcp || !options.socket;
    *ret_options = options;
    return 0;
}
