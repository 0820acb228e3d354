/* Comparing and sending at once. See restore_memory_impl.h.
 *
 * One crew does both, so that one failure, one cancellation and one patience are those of all. What
 * is to be compared comes first: it is bounded, and sending must not wait for it. */
#include "fs/restore_memory_impl.h"

struct stream {
    struct memory_comparison comparison;
    struct memory_sending sending;
};

static enum fs_crew_take stream_take(void *arg, struct fs_crew_task *out)
{
    struct stream *stream = arg;
    enum fs_crew_take taken = memory_comparison_take(&stream->comparison, out);
    if (taken == FS_CREW_TASK)
        return taken;
    pthread_mutex_lock(&stream->comparison.lock);
    taken = memory_sending_take(&stream->sending, stream->comparison.n_ready, out);
    pthread_mutex_unlock(&stream->comparison.lock);
    return taken;
}

/* What is to be sent, as far as it is known. */
static void tell(struct stream *stream)
{
    struct memory_commit *commit = stream->comparison.commit;
    pthread_mutex_lock(&stream->comparison.lock);
    atomic_store(&commit->run->progress->n_to_send, commit->plan.n_set * MEMORY_PAGE);
    pthread_mutex_unlock(&stream->comparison.lock);
}

static int stream_work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                       const atomic_bool *stop, struct ic_error *err)
{
    (void)buffer;
    struct stream *stream = arg;
    if (task->weight > 0)
        return memory_sending_work(&stream->sending, task, stop, err);
    int result = memory_comparison_work(&stream->comparison, task, stop, err);
    tell(stream);
    return result;
}

int memory_stream(struct memory_commit *commit, enum memory_compare how, bool keeps_zeros,
                  const struct memory_sender *sender, struct ic_error *err)
{
    struct stream stream;
    struct fs_crew crew = memory_sending_crew(commit, commit->plan.n_pages);
    int result = memory_comparison_init(&stream.comparison, commit, how, keeps_zeros, err);
    if (result < 0)
        return result;
    memory_sending_init(&stream.sending, commit, sender);
    crew.take = stream_take;
    crew.work = stream_work;
    crew.arg = &stream;
    result = commit->plan.n_pages > 0 ? fs_crew_run(&crew, err) : 0;
    memory_comparison_fini(&stream.comparison);
    return result;
}
