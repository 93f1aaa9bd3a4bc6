/* ggo agent start: runs the workers of this machine until a signal ends it. */
#include "agent/agent.h"
#include "agent/output.h"
#include "agent/verbs.h"
#include "base/log.h"

int divvy_agent_verb_start(struct divvy_agent_call *call) {
    static struct divvy_agent agent;
    struct divvy_error error = {0};
    int status = divvy_agent_open(&agent, call, &error);

    if (status < 0) {
        divvy_agent_close(&agent);
        return divvy_agent_fail(call, &error);
    }
    divvy_log_info("agent %s runs; workers: %s in %s", agent.registration.agent_id,
                   DIVVY_BACKEND_WORKERS_FILE,
                   agent.is_single_node ? agent.paths.state : agent.paths.config);
    status = divvy_agent_run(&agent);
    divvy_agent_close(&agent);
    return status;
}
