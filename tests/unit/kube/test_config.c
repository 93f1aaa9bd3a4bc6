/* Credentials: kubeconfig files good and bad, and the account of a container. */
#include "kube/config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/divvy-kube-XXXXXX";
static char kubeconfig[64];

static void file_write(const char *name, const char *text, mode_t mode) {
    char path[96];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static int setup(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", folder);
    return 0;
}

static int teardown(void **state) {
    static const char *const names[] = {"kubeconfig", "token", "ca.crt", "key.pem", "cert.pem"};
    char path[96];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static int read_text(const char *cluster, const char *user, struct divvy_kube_config *config, struct divvy_error *error) {
    char text[4096];

    (void)snprintf(text, sizeof text,
                   "apiVersion: v1\nclusters:\n- name: other\n  cluster:\n    server: https://other\n- cluster:\n%s  name: c\ncontexts:\n- "
                   "context:\n    cluster: c\n    user: u\n  name: x\ncurrent-context: x\nusers:\n- name: u\n  user:\n%s",
                   cluster, user);
    file_write("kubeconfig", text, 0600);
    return divvy_kube_config_read(kubeconfig, NULL, NULL, NULL, config, error);
}

static void test_good(void **state) {
    struct divvy_kube_config config;
    struct divvy_error error = {0, ""};

    (void)state;
    file_write("token", "abc.def-1\n", 0600);
    file_write("cert.pem", "certificate", 0644);
    file_write("key.pem", "key", 0600);
    assert_int_equal(read_text("    server: https://10.0.0.1:6443/\n    certificate-authority-data: Y2E=\n", "    token: t\n", &config, &error), 0);
    assert_string_equal(config.server, "https://10.0.0.1:6443");
    assert_string_equal(config.ca.bytes, "ca");
    assert_string_equal(config.token.bytes, "t");
    divvy_kube_config_done(&config);
    assert_int_equal(read_text("    server: https://h\n", "    tokenFile: token\n", &config, &error), 0);
    assert_string_equal(config.token.bytes, "abc.def-1");
    divvy_kube_config_done(&config);
    /* renewed: the next reading has it */
    file_write("token", "new", 0600);
    assert_int_equal(divvy_kube_config_read(kubeconfig, NULL, NULL, NULL, &config, &error), 0);
    assert_string_equal(config.token.bytes, "new");
    divvy_kube_config_done(&config);
    assert_int_equal(read_text("    server: https://h\n", "    client-certificate: cert.pem\n    client-key-data: a2V5\n", &config, &error), 0);
    assert_string_equal(config.cert.bytes, "certificate");
    assert_string_equal(config.key.bytes, "key");
    divvy_kube_config_done(&config);
    assert_int_equal(read_text("    {server: \"https:\\/\\/h:1\"}\n", "    {token: t}\n", &config, &error), 0);
    assert_string_equal(config.server, "https://h:1");
    divvy_kube_config_done(&config);
    assert_int_equal(read_text("    server: http://127.0.0.1:8001\n", "    token: t\n", &config, &error), 0);
    divvy_kube_config_done(&config);
}

static void test_bad(void **state) {
    static const struct {
        const char *cluster, *user, *words;
    } bad[] = {
        {"    server: http://10.0.0.1\n", "    token: t\n", "without TLS"},
        {"    server: http://127.example.com:80\n", "    token: t\n", "without TLS"},
        {"    server: http://localhost.example.com/\n", "    token: t\n", "without TLS"},
        {"    server: http://[::1\n", "    token: t\n", "without TLS"},
        {"    server: ftp://h\n", "    token: t\n", "https://"},
        {"    server: https://h h\n", "    token: t\n", "https://"},
        {"    name: x\n", "    token: t\n", "no cluster"},
        {"    server: https://h\n    insecure-skip-tls-verify: true\n", "    token: t\n", "insecure"},
        {"    server: https://h\n    proxy-url: http://p\n", "    token: t\n", "proxy-url"},
        {"    server: https://h\n    certificate-authority: none.pem\n", "    token: t\n", "none.pem"},
        {"    server: https://h\n    certificate-authority-data: \"%\"\n", "    token: t\n", "Base64"},
        {"    server: https://h\n", "    exec:\n      command: aws\n", "not supported"},
        {"    server: https://h\n", "    username: a\n    password: b\n", "not supported"},
        {"    server: https://h\n", "    client-certificate-data: YQ==\n", "needs its key"},
        {"    server: https://h\n", "    nothing: x\n", "neither"},
        {"    server: https://h\n", "    token: \"a\\nX-Evil: 1\"\n", "one line"},
        {"    server: https://h\n", "    tokenFile: gone\n", "gone"},
        {"    server: *a\n", "    token: t\n", "line"},
    };
    struct divvy_kube_config config;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct divvy_error error = {0, ""};

        assert_true(read_text(bad[i].cluster, bad[i].user, &config, &error) < 0);
        if (!strstr(error.text, bad[i].words))
            fail_msg("%zu: %s", i, error.text);
    }
}

static void test_account(void **state) {
    struct divvy_kube_config config;
    struct divvy_error error = {0, ""};

    (void)state;
    file_write("ca.crt", "ca", 0644);
    file_write("token", "t", 0644);
    assert_int_equal(divvy_kube_config_read("", folder, "10.1.2.3", "443", &config, &error), 0);
    assert_string_equal(config.server, "https://10.1.2.3:443");
    divvy_kube_config_done(&config);
    assert_int_equal(divvy_kube_config_read(NULL, folder, "fd00::1", "443", &config, &error), 0);
    assert_string_equal(config.server, "https://[fd00::1]:443");
    divvy_kube_config_done(&config);
    assert_int_equal(divvy_kube_config_read("", folder, NULL, NULL, &config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "KUBERNETES_SERVICE_HOST"));
    file_write("token", "t", 0666);
    assert_int_equal(divvy_kube_config_read("", folder, "h", "1", &config, &error), -EPERM);
    file_write("token", "", 0600);
    assert_int_equal(divvy_kube_config_read("", folder, "h", "1", &config, &error), -EINVAL);
}

static void test_base64(void **state) {
    static const char *const bad[] = {"", "a", "ab=", "a=b=", "====", "ab==cd==", "ab*d", "abc=d"};
    struct divvy_kube_blob blob;

    (void)state;
    assert_int_equal(divvy_kube_base64_decode("aGVs\nbG8=", &blob), 0);
    assert_int_equal(blob.length, 5);
    assert_string_equal(blob.bytes, "hello");
    free(blob.bytes);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(divvy_kube_base64_decode(bad[i], &blob), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_account),
        cmocka_unit_test(test_base64),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
