/* Packing of settings (settings.h). Host, supervisor and zygote; the bytes come from a trusted
 * process. */
#include "policy/settings.h"

#include <string.h>

void settings_release(struct settings *settings)
{
    for (uint32_t i = 0; i < settings->preload_count; i++)
        free(settings->preload[i]);
    free(settings->preload);
    free(settings->mounts);
    free(settings->warm);
    free(settings->language);
    free(settings->start);
    memset(settings, 0, sizeof *settings);
}

void settings_pack(struct packer *packer, const struct settings *settings)
{
    pack_u64(packer, settings->wall_ms);
    pack_u64(packer, settings->cpu_ms);
    pack_u64(packer, settings->memory_bytes);
    pack_u64(packer, settings->output_bytes);
    pack_u64(packer, settings->scratch_bytes);
    pack_u32(packer, settings->scratch_files);
    pack_u32(packer, settings->descriptors);
    pack_u32(packer, settings->threads);
    pack_u32(packer, settings->grants);
    pack_u32(packer, settings->allow_missing);
    pack_u32(packer, settings->uid);
    pack_u32(packer, settings->gid);
    pack_u32(packer, settings->audit);
    pack_u32(packer, settings->once);
    pack_string(packer, settings->python);
    pack_string(packer, settings->scratch_parent);
    pack_u32(packer, settings->mount_count);
    for (uint32_t i = 0; i < settings->mount_count; i++) {
        pack_string(packer, settings->mounts[i].guest_path);
        pack_string(packer, settings->mounts[i].host_path);
        pack_u32(packer, settings->mounts[i].writable);
        pack_u32(packer, settings->mounts[i].optional);
    }
    pack_u32(packer, settings->preload_count);
    for (uint32_t i = 0; i < settings->preload_count; i++)
        pack_string(packer, settings->preload[i]);
    pack_string(packer, settings->warm);
    pack_u32(packer, settings->is_warm_ours);
    pack_string(packer, settings->language);
    pack_string(packer, settings->start);
    pack_u64(packer, settings->hash_seed);
}

/* A heap copy of a packed string; NULL (and failed) if it holds a NUL or memory is short. */
static char *unpack_text(struct unpacker *unpacker)
{
    struct bytes field = unpack_bytes(unpacker);
    char *text = NULL;
    if (!unpacker->failed && memchr(field.bytes, '\0', field.length) == NULL)
        text = strndup((const char *)field.bytes, field.length);
    if (text == NULL)
        unpacker->failed = true;
    return text;
}

static void unpack_lists(struct unpacker *unpacker, struct settings *settings)
{
    uint32_t count = unpack_count(unpacker, 16);
    settings->mounts = calloc(count ? count : 1, sizeof *settings->mounts);
    if (settings->mounts == NULL) {
        unpacker->failed = true;
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct mount_setting *mount = &settings->mounts[i];
        unpack_string(unpacker, mount->guest_path, sizeof mount->guest_path);
        unpack_string(unpacker, mount->host_path, sizeof mount->host_path);
        mount->writable = unpack_u32(unpacker) != 0;
        mount->optional = unpack_u32(unpacker) != 0;
        settings->mount_count = i + 1;
    }
    count = unpack_count(unpacker, 4);
    settings->preload = calloc(count ? count : 1, sizeof *settings->preload);
    if (settings->preload == NULL) {
        unpacker->failed = true;
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        settings->preload[i] = unpack_text(unpacker);
        settings->preload_count = i + 1;
    }
}

int settings_unpack(struct unpacker *unpacker, struct settings *ret_settings)
{
    CLEANUP(settings_release) struct settings settings = { 0 };
    settings.wall_ms = unpack_u64(unpacker);
    settings.cpu_ms = unpack_u64(unpacker);
    settings.memory_bytes = unpack_u64(unpacker);
    settings.output_bytes = unpack_u64(unpacker);
    settings.scratch_bytes = unpack_u64(unpacker);
    settings.scratch_files = unpack_u32(unpacker);
    settings.descriptors = unpack_u32(unpacker);
    settings.threads = unpack_u32(unpacker);
    settings.grants = unpack_u32(unpacker);
    settings.allow_missing = unpack_u32(unpacker);
    settings.uid = unpack_u32(unpacker);
    settings.gid = unpack_u32(unpacker);
    settings.audit = unpack_u32(unpacker);
    settings.once = unpack_u32(unpacker);
    unpack_string(unpacker, settings.python, sizeof settings.python);
    unpack_string(unpacker, settings.scratch_parent, sizeof settings.scratch_parent);
    unpack_lists(unpacker, &settings);
    settings.warm = unpack_text(unpacker);
    settings.is_warm_ours = unpack_u32(unpacker) != 0;
    settings.language = unpack_text(unpacker);
    settings.start = unpack_text(unpacker);
    settings.hash_seed = unpack_u64(unpacker);
    if (unpacker->failed)
        return -EBADMSG;
    *ret_settings = settings;
    memset(&settings, 0, sizeof settings);
    return 0;
}
