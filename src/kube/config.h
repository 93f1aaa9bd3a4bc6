/*
 * Where the API server is and as whom it is talked to: a kubeconfig file, or what the kubelet puts into a container. Files are read
 * anew each time, because certificates and tokens are renewed under our hands.
 *
 * Of a kubeconfig the current context counts. Users with a certificate and its key, a token or a file of one are taken; what would run
 * programs or give up checking the server is refused. Blocks for the file system only.
 */
#ifndef DIVVY_KUBE_CONFIG_H
#define DIVVY_KUBE_CONFIG_H

#include "base/error.h"

#include <limits.h>
#include <stddef.h>

#define DIVVY_KUBE_SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define DIVVY_KUBE_SERVER_BYTES    512u
#define DIVVY_KUBE_TOKEN_BYTES     16384u

/* Bytes of a file or of the kubeconfig itself; NULL when there are none. */
struct divvy_kube_blob {
    char *bytes; /* with a NUL behind */
    size_t length;
};

struct divvy_kube_config {
    char server[DIVVY_KUBE_SERVER_BYTES]; /* https://HOST:PORT[/PATH], or http:// of this machine; no '/' at the end */
    struct divvy_kube_blob ca;            /* PEM; none: the system's */
    struct divvy_kube_blob cert, key;     /* PEM; both or none */
    struct divvy_kube_blob token;         /* one line; or none */
};

/*
 * `kubeconfig`: its path; NULL or empty: the container's own account, whose folder is `account` (NULL: the usual one) and whose server is in
 * `host` and `port`. -ENOENT and others of open; -EINVAL: what is in it cannot be used, with the reason; -EPERM: a secret that others may
 * write to.
 */
int divvy_kube_config_read(const char *kubeconfig, const char *account, const char *host, const char *port,
                           struct divvy_kube_config *ret_config, struct divvy_error *error);

/* Wipes and frees. Harmless when zero. */
void divvy_kube_config_done(struct divvy_kube_config *config);

/* Base64 with padding, as kubeconfig has it; blanks are passed over. 0, -EINVAL or -ENOMEM. */
int divvy_kube_base64_decode(const char *text, struct divvy_kube_blob *ret_blob);

#endif
