/* Workers that are wished for: see wish.h. */
#include "agent/wish.h"

#include "backend/filestate.h"
#include "core/parse.h"
#include "core/uuid.h"
#include "node/quantity.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_LEAST 1024u

static const char *const isolation_names[DIVVY_AGENT_ISOLATION_MAX] = {"shared", "soft", "hard",
                                                                       "partitioned"};

const char *divvy_agent_isolation_name(enum divvy_agent_isolation isolation) {
    return isolation_names[isolation];
}

int divvy_agent_isolation_parse(const char *text, enum divvy_agent_isolation *ret_isolation) {
    for (unsigned int i = 0; i < DIVVY_AGENT_ISOLATION_MAX; i++)
        if (divvy_core_word_equal(text, strlen(text), isolation_names[i])) {
            *ret_isolation = (enum divvy_agent_isolation)i;
            return 0;
        }
    return -EINVAL;
}

static void refuse(struct divvy_agent_wish *wish, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first reason is kept. */
static void refuse(struct divvy_agent_wish *wish, const char *format, ...) {
    va_list arguments;

    if (wish->refusal[0])
        return;
    va_start(arguments, format);
    (void)vsnprintf(wish->refusal, sizeof wish->refusal, format, arguments);
    va_end(arguments);
}

/* ---- reading an element ---- */

static json_t *texts_copy(const json_t *list) {
    json_t *copy = json_array(), *each;
    size_t index;

    json_array_foreach(list, index, each) if (json_string_length(each) > 0)(void)
        json_array_append(copy, each);
    return copy;
}

/* A number, or a text with one. Missing, null and "": 0. False when it makes no sense. */
static bool percent_take(const json_t *value, uint32_t *ret_percent) {
    const char *text = json_string_value(value);
    divvy_node_quantity_t quantity;
    double number = json_number_value(value);

    if (!value || (text && !text[0]))
        return true;
    if (text && divvy_node_quantity_parse(text, strlen(text), &quantity, NULL) == 0)
        number = divvy_node_quantity_value(quantity);
    else if (!json_is_number(value))
        return false;
    if (!(number >= 0 && number <= 100))
        return false;
    *ret_percent = (uint32_t)ceil(number);
    return true;
}

/* Bytes, as a number or as Kubernetes writes them. */
static bool bytes_take(const json_t *value, uint64_t *ret_bytes) {
    const char *text = json_string_value(value);

    if (!value || (text && !text[0]))
        return true;
    if (text)
        return divvy_node_quantity_bytes_parse(text, strlen(text), ret_bytes, NULL) == 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret_bytes = (uint64_t)json_integer_value(value);
    return true;
}

static void isolation_take(const json_t *object, const char *key, struct divvy_agent_wish *wish) {
    const json_t *value = divvy_backend_object_get(object, key);
    const char *text = json_string_value(value);

    if (value && !(text && !text[0]) &&
        (!text || divvy_agent_isolation_parse(text, &wish->isolation) < 0))
        refuse(wish, "isolation '%.40s': write shared, soft, hard or partitioned",
               text ? text : "?");
}

/* What it means is divvy-runner's to say; here it has to be one word. */
static void profile_take(const json_t *element, struct divvy_agent_wish *wish) {
    const char *text = json_string_value(divvy_backend_object_get(element, "PartitionTemplateID"));

    if (!text || !text[0])
        return;
    if (strlen(text) >= sizeof wish->profile ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-") != strlen(text) || text[0] == '-')
        refuse(wish, "PartitionTemplateID '%.40s' is no profile: write \"1g.10gb\"", text);
    else
        (void)snprintf(wish->profile, sizeof wish->profile, "%s", text);
}

/* state/workers.json */
static void state_element_take(const json_t *element, struct divvy_agent_wish *wish) {
    const char *status = json_string_value(divvy_backend_object_get(element, "Status"));
    const json_t *limits = divvy_backend_object_get(element, "Limits"),
                 *requests = divvy_backend_object_get(element, "Requests");
    json_int_t deleted = json_integer_value(divvy_backend_object_get(element, "DeletedAt"));

    wish->enabled =
        status && divvy_core_word_equal(status, strlen(status), "Running") && deleted <= 0;
    wish->devices = texts_copy(divvy_backend_object_get(element, "AllocatedDevices"));
    isolation_take(element, "IsolationMode", wish);
    profile_take(element, wish);
    if (!bytes_take(divvy_backend_object_get(limits, "vram"), &wish->memory_bytes) ||
        (wish->memory_bytes == 0 &&
         !bytes_take(divvy_backend_object_get(requests, "vram"), &wish->memory_bytes)))
        refuse(wish, "its vram makes no sense: write \"8Gi\" or bytes");
    if (!percent_take(divvy_backend_object_get(limits, "compute"), &wish->percent) ||
        (wish->percent == 0 &&
         !percent_take(divvy_backend_object_get(requests, "compute"), &wish->percent)))
        refuse(wish, "its compute makes no sense: write percent from 1 to 100");
}

/* config/workers.json: limits, and what runs where the platform decides. */
static void config_element_take(const json_t *element, bool decides,
                                struct divvy_agent_wish *wish) {
    const json_t *vram = divvy_backend_object_get(element, "vram_mb"),
                 *percent = divvy_backend_object_get(element, "compute_percent");

    if (decides) {
        wish->enabled = json_is_true(divvy_backend_object_get(element, "enabled"));
        wish->devices = texts_copy(divvy_backend_object_get(element, "gpu_ids"));
    }
    isolation_take(element, "isolation_mode", wish);
    if (wish->memory_bytes == 0 && json_is_integer(vram) && json_integer_value(vram) > 0 &&
        json_integer_value(vram) <= (1 << 30))
        wish->memory_bytes = (uint64_t)json_integer_value(vram) << 20;
    if (wish->percent == 0 && !percent_take(percent, &wish->percent))
        refuse(wish, "its compute_percent makes no sense: write 1 to 100");
}

/* ---- ports ---- */

struct ports {
    uint64_t taken[65536 / 64];
};

static bool port_is_taken(const struct ports *ports, unsigned int port) {
    return ports->taken[port / 64] >> (port % 64) & 1;
}

static void port_take(struct ports *ports, unsigned int port) {
    ports->taken[port / 64] |= UINT64_C(1) << (port % 64);
}

static unsigned int port_of(const json_t *element, const char *key) {
    json_int_t port = json_integer_value(divvy_backend_object_get(element, key));

    return port >= PORT_LEAST && port <= 65535 ? (unsigned int)port : 0;
}

/* Ports that are written down are kept; who has none gets the one of its place, or the next that is free. */
static void ports_give(struct divvy_agent_wishes *wishes) {
    static struct ports ports;

    memset(&ports, 0, sizeof ports);
    for (size_t i = 0; i < wishes->count; i++) {
        struct divvy_agent_wish *wish = &wishes->list[i];

        if (wish->port && port_is_taken(&ports, wish->port) && wish->enabled)
            refuse(wish, "port %u is another worker's", wish->port);
        if (wish->port)
            port_take(&ports, wish->port);
    }
    for (size_t i = 0; i < wishes->count; i++) {
        unsigned int port =
            DIVVY_AGENT_PORT_FIRST + (unsigned int)(i % (65536 - DIVVY_AGENT_PORT_FIRST));

        if (wishes->list[i].port)
            continue;
        for (unsigned int tries = 0; tries < 65536 && port_is_taken(&ports, port); tries++)
            port = port == 65535 ? DIVVY_AGENT_PORT_FIRST : port + 1;
        wishes->list[i].port = (uint16_t)port;
        port_take(&ports, port);
    }
}

/* ---- what fits on the GPUs ---- */

const json_t *divvy_agent_gpu_find(const json_t *gpus, const char *id) {
    const json_t *gpu;
    size_t index;

    json_array_foreach(gpus, index, gpu) {
        const char *name = divvy_backend_object_id(gpu, DIVVY_BACKEND_AGENT_GPUS);

        if (name && divvy_core_uuid_text_equal(name, strlen(name), id, strlen(id)))
            return gpu;
    }
    return NULL;
}

struct load {
    const json_t *gpu;
    uint64_t memory_bytes;
    uint32_t percent, workers;
};

static struct load *load_of(struct load *loads, size_t count, const json_t *gpu) {
    for (size_t i = 0; i < count; i++)
        if (loads[i].gpu == gpu)
            return &loads[i];
    return NULL;
}

/* Whether a worker fits on one of its GPUs beside those that are admitted already. */
static void fit_check(struct divvy_agent_wish *wish, const struct load *load) {
    const char *id = divvy_backend_object_id(load->gpu, DIVVY_BACKEND_AGENT_GPUS);
    json_int_t vram = json_integer_value(divvy_backend_object_get(load->gpu, "vram_mb"));
    uint64_t bytes = vram > 0 ? (uint64_t)vram << 20 : 0;

    if (load->workers >= DIVVY_AGENT_WORKERS_PER_GPU)
        refuse(wish, "GPU %.48s has %u workers already", id, load->workers);
    if (bytes && (wish->memory_bytes > bytes || load->memory_bytes > bytes - wish->memory_bytes))
        refuse(wish, "GPU %.48s has %llu MiB, of which %llu are promised; %llu do not fit", id,
               (unsigned long long)(bytes >> 20), (unsigned long long)(load->memory_bytes >> 20),
               (unsigned long long)(wish->memory_bytes >> 20));
    if (load->percent + wish->percent > 100)
        refuse(wish, "GPU %.48s has %u %% of its time promised; %u %% do not fit", id,
               load->percent, wish->percent);
}

static void admit(struct divvy_agent_wish *wish, const json_t *gpus, struct load *loads,
                  size_t count) {
    const json_t *device;
    size_t index, other;

    if (json_array_size(wish->devices) == 0)
        refuse(wish, "no GPU is allocated to it");
    if (wish->isolation == DIVVY_AGENT_PARTITIONED && json_array_size(wish->devices) > 1)
        refuse(wish, "a partitioned worker has a slice of one GPU; it names %zu", json_array_size(wish->devices));
    if (wish->isolation == DIVVY_AGENT_PARTITIONED && !wish->profile[0] && !wish->memory_bytes)
        refuse(wish, "a partitioned worker says how large: PartitionTemplateID \"1g.10gb\", or a limit of vram");
    for (int commit = 0; commit < 2 && !wish->refusal[0]; commit++)
        json_array_foreach(wish->devices, index, device) {
            const json_t *gpu = divvy_agent_gpu_find(gpus, json_string_value(device));
            struct load *load = load_of(loads, count, gpu);
            bool again = false;

            if (!gpu || !load) {
                refuse(wish, "GPU %.60s is not one of this machine's", json_string_value(device));
                continue;
            }
            for (other = 0; other < index; other++)
                again |= divvy_agent_gpu_find(
                             gpus, json_string_value(json_array_get(wish->devices, other))) == gpu;
            if (again)
                refuse(wish, "GPU %.60s is named twice", json_string_value(device));
            if (!commit) {
                fit_check(wish, load);
                continue;
            }
            load->memory_bytes += wish->memory_bytes;
            load->percent += wish->percent;
            load->workers++;
        }
}

static int admit_all(const struct divvy_agent_wish_input *input,
                     struct divvy_agent_wishes *wishes) {
    size_t count = json_array_size(input->gpus);
    struct load *loads = calloc(count + 1, sizeof *loads);

    if (!loads)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        loads[i].gpu = json_array_get(input->gpus, i);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < wishes->count; i++) {
            struct divvy_agent_wish *wish = &wishes->list[i];
            bool runs = input->runs && input->runs(input->data, wish->id);

            if (wish->enabled && runs == (round == 0))
                admit(wish, input->gpus, loads, count);
        }
    free(loads);
    return 0;
}

/* ---- all of them ---- */

int divvy_agent_wishes_make(const struct divvy_agent_wish_input *input,
                            struct divvy_agent_wishes *ret_wishes) {
    const json_t *from = input->is_single_node ? input->state : input->config, *element;
    enum divvy_backend_schema schema =
        input->is_single_node ? DIVVY_BACKEND_WORKERS : DIVVY_BACKEND_AGENT_WORKERS;
    struct divvy_agent_wishes wishes = {.list =
                                            calloc(json_array_size(from) + 1, sizeof *wishes.list)};
    json_t *by_id = divvy_agent_elements_index(input->config, DIVVY_BACKEND_AGENT_WORKERS);
    size_t index;

    wishes.by_id = json_object();
    if (!wishes.list || !by_id || !wishes.by_id) {
        json_decref(by_id);
        divvy_agent_wishes_done(&wishes);
        return -ENOMEM;
    }
    json_array_foreach(from, index, element) {
        struct divvy_agent_wish *wish = &wishes.list[wishes.count];
        const char *id = divvy_backend_object_id(element, schema);
        const json_t *config;

        if (!id || strlen(id) >= sizeof wish->id)
            continue;
        (void)snprintf(wish->id, sizeof wish->id, "%s", id);
        wish->isolation = input->isolation;
        config = input->is_single_node ? json_object_get(by_id, id) : element;
        if (input->is_single_node)
            state_element_take(element, wish);
        if (config)
            config_element_take(config, !input->is_single_node, wish);
        wish->is_local = input->is_single_node &&
                         (!config || json_string_value(divvy_backend_object_get(config, "origin")));
        wish->port = (uint16_t)port_of(config, "listen_port");
        if (wish->port == 0 && input->is_single_node)
            wish->port = (uint16_t)port_of(element, "ListenPort");
        (void)json_object_set_new(wishes.by_id, id, json_integer((json_int_t)wishes.count));
        wishes.count++;
    }
    json_decref(by_id);
    ports_give(&wishes);
    if (admit_all(input, &wishes) < 0) {
        divvy_agent_wishes_done(&wishes);
        return -ENOMEM;
    }
    *ret_wishes = wishes;
    return 0;
}

void divvy_agent_wishes_done(struct divvy_agent_wishes *wishes) {
    for (size_t i = 0; i < wishes->count; i++)
        json_decref(wishes->list[i].devices);
    free(wishes->list);
    json_decref(wishes->by_id);
    *wishes = (struct divvy_agent_wishes){0};
}

const struct divvy_agent_wish *divvy_agent_wishes_find(const struct divvy_agent_wishes *wishes,
                                                       const char *id) {
    const json_t *place = json_object_get(wishes->by_id, id);

    return place ? &wishes->list[json_integer_value(place)] : NULL;
}

json_t *divvy_agent_elements_index(const json_t *list, enum divvy_backend_schema schema) {
    json_t *by_id = json_object(), *each;
    size_t index;

    json_array_foreach(list, index, each) {
        const char *id = divvy_backend_object_id(each, schema);

        if (id && json_object_set(by_id, id, each) < 0) {
            json_decref(by_id);
            return NULL;
        }
    }
    return by_id;
}
