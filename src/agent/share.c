/* Codes of shares and the environment of their users: see share.h. */
#include "agent/share.h"

#include "agent/config.h"
#include "agent/shape.h"
#include "base/install.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

int divvy_agent_code_parse(const char *text, char ret_code[DIVVY_AGENT_CODE_BYTES],
                           struct divvy_error *error) {
    size_t length = strlen(text), start;
    char code[DIVVY_AGENT_CODE_BYTES];

    while (length > 0 && text[length - 1] == '/')
        length--;
    for (start = length; start > 0 && text[start - 1] != '/';)
        start--;
    if (length - start == 0 || length - start >= sizeof code)
        return divvy_error_set(
            error, -EINVAL,
            "'%.80s': write a share's code or its link, as in https://gpu.tf/s/abc123", text);
    memcpy(code, text + start, length - start);
    code[length - start] = '\0';
    if (!divvy_agent_id_is_valid(code))
        return divvy_error_set(error, -EINVAL, "'%.80s' is no share's code", code);
    memcpy(ret_code, code, sizeof code);
    return 0;
}

int divvy_agent_code_resolve(const struct divvy_agent_call *call, const char *code,
                             json_t **ret_share, struct divvy_error *error) {
    static struct divvy_agent_platform platform;
    static struct divvy_agent_registration registration;
    struct divvy_agent_paths paths;
    bool is_registered =
        divvy_agent_paths_find(call->values[DIVVY_AGENT_CONFIG_DIR], NULL, &paths, NULL) == 0 &&
        divvy_agent_registration_read(&paths, &registration, NULL) == 0;
    int status = divvy_agent_server_find(call, is_registered ? registration.server_url : NULL,
                                         &platform, error);

    if (is_registered)
        divvy_agent_registration_done(&registration);
    if (status == 0)
        status = divvy_agent_platform_call(&platform, DIVVY_AGENT_API_PUBLIC, code, NULL, NULL,
                                           ret_share, error);
    if (status == -ENOENT)
        return divvy_error_set(error, status,
                               "no share has the code %.60s; it may have been withdrawn or be over",
                               code);
    return status;
}

/* ---- the environment ---- */

static int variable_add(struct divvy_agent_environment *environment, const char *name,
                        const char *format, ...) __attribute__((format(printf, 3, 4)));

static int variable_add(struct divvy_agent_environment *environment, const char *name,
                        const char *format, ...) {
    struct divvy_agent_variable *variable = &environment->variables[environment->count];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vasprintf(&variable->value, format, arguments);
    va_end(arguments);
    if (length < 0) {
        variable->value = NULL;
        return -ENOMEM;
    }
    variable->name = name;
    environment->count++;
    return 0;
}

/* The folder of the client's libraries for a vendor, or "". */
static void client_find(const char *cache_folder, const char *library, char ret_folder[PATH_MAX]) {
    static const char *const beside[] = {"../lib/divvy/client", "../lib/client"};
    char program[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);

    (void)snprintf(path, sizeof path, "%.*s/libs/%s", PATH_MAX - 1, cache_folder, library);
    if (cache_folder[0] && access(path, R_OK) == 0) {
        (void)snprintf(ret_folder, PATH_MAX, "%.*s/libs", PATH_MAX - 8, cache_folder);
        return;
    }
    ret_folder[0] = '\0';
    if (length <= 0)
        return;
    program[length] = '\0';
    (void)dirname(program);
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
        (void)snprintf(path, sizeof path, "%.*s/%s/%s", PATH_MAX - 64, program, beside[i], library);
        if (access(path, R_OK) == 0) {
            (void)snprintf(ret_folder, PATH_MAX, "%.*s/%s", PATH_MAX - 64, program, beside[i]);
            return;
        }
    }
}

static int client_add(struct divvy_agent_environment *environment, const char *vendor,
                      const char *cache_folder) {
    bool is_amd = strcasecmp(vendor, "amd") == 0;
    const char *preload = is_amd ? "libamdhip64.so" : "libcuda.so:libnvidia-ml.so", *before;
    char folder[PATH_MAX];
    char *list;
    int status;

    client_find(cache_folder, is_amd ? "libamdhip64.so" : "libcuda.so", folder);
    if (!folder[0])
        return 0;
    environment->has_client = true;
    list = divvy_install_list_front(folder, getenv("LD_LIBRARY_PATH"));
    status = list ? variable_add(environment, "LD_LIBRARY_PATH", "%s", list) : -ENOMEM;
    free(list);
    before = getenv("LD_PRELOAD");
    list = divvy_install_list_front(preload, before);
    if (status == 0)
        status = list ? variable_add(environment, "LD_PRELOAD", "%s", list) : -ENOMEM;
    free(list);
    list = divvy_install_list_front(folder, getenv("PATH"));
    if (status == 0)
        status = list ? variable_add(environment, "PATH", "%s", list) : -ENOMEM;
    free(list);
    return status;
}

int divvy_agent_environment_make(const json_t *share, const char *tmp_folder,
                                 const char *cache_folder,
                                 struct divvy_agent_environment *ret_environment,
                                 struct divvy_error *error) {
    const char *url = json_string_value(json_object_get(share, "connection_url"));
    const char *worker = json_string_value(json_object_get(share, "worker_id"));
    const char *vendor = json_string_value(json_object_get(share, "hardware_vendor"));
    int status;

    memset(ret_environment, 0, sizeof *ret_environment);
    if (!vendor || !vendor[0])
        vendor = "nvidia";
    status = variable_add(ret_environment, "GPU_GO_CONNECTION_URL", "%s", url);
    status |= variable_add(ret_environment, "GPU_GO_WORKER_ID", "%s", worker);
    status |= variable_add(ret_environment, "GPU_GO_VENDOR", "%s", vendor);
    status |= variable_add(ret_environment, "GPU_GO_TMP_DIR", "%s", tmp_folder);
    status |= variable_add(ret_environment, "CUDA_VISIBLE_DEVICES", "0");
    status |= variable_add(ret_environment, "TENSOR_FUSION_OPERATOR_CONNECTION_INFO", "%s", url);
    status |=
        variable_add(ret_environment, "TF_CONNECTION_INFO_PATH", "%s/connections.txt", tmp_folder);
    status |= variable_add(ret_environment, "TF_LOG_PATH", "%s/client.log", tmp_folder);
    status |= variable_add(ret_environment, "TF_LOG_LEVEL", "info");
    status |= variable_add(ret_environment, "TF_ENABLE_LOG", "1");
    status |= client_add(ret_environment, vendor, cache_folder);
    if (status == 0)
        return 0;
    divvy_agent_environment_done(ret_environment);
    return divvy_error_set_errno(error, -ENOMEM, "the environment");
}

void divvy_agent_environment_done(struct divvy_agent_environment *environment) {
    for (unsigned int i = 0; i < environment->count; i++)
        free(environment->variables[i].value);
    environment->count = 0;
}
