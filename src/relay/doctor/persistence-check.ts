import { fail, ok, warn, type Finding } from './finding.ts'
import type { SourceView } from './source-view.ts'
import { isDenied, isUnknown } from '../redis/advice.ts'

/** Whether what waits in lists and claims is still there when Redis starts again. */
export async function checkPersistence({ name, info, setting, cli }: SourceView): Promise<Finding> {
  const [aof, lastSave, lastWrite, loading] = await Promise.all(
    ['aof_enabled', 'rdb_last_bgsave_status', 'aof_last_write_status', 'loading'].map((field) => info(field)),
  )
  const check = name('persistence')
  const dir = async () => (await tell(setting('dir'))) ?? 'its data folder'
  if (loading === '1')
    return warn(check, 'doctor.persistence.loading', 'Redis is reading its data from disk and accepts no commands yet')
  if (aof === '1' && lastWrite !== undefined && lastWrite !== 'ok')
    return fail(
      check,
      'doctor.persistence.append_failed',
      `Redis could not write its append-only file in ${await dir()} and refuses writes`,
      'free disk space on the Redis host',
    )
  // Redis refuses every write after a snapshot that failed, unless it is told not to.
  if (lastSave !== undefined && lastSave !== 'ok') {
    return (await tell(setting('stop-writes-on-bgsave-error'))) === 'no'
      ? warn(
          check,
          'doctor.persistence.snapshot_failed',
          `Redis could not write the last snapshot in ${await dir()}`,
          'free disk space on the Redis host',
        )
      : fail(
          check,
          'doctor.persistence.writes_refused',
          `Redis could not write the last snapshot in ${await dir()} and refuses writes`,
          'free disk space on the Redis host',
        )
  }
  if (aof === '1') return ok(check, 'Redis uses an append-only file, and its last write succeeded')
  const fix = `${cli('CONFIG SET appendonly yes')} && ${cli('CONFIG REWRITE')}`
  const save = await tell(setting('save'))
  if (save === undefined)
    return warn(
      check,
      'doctor.persistence.no_append_file',
      'Redis has no append-only file: a crash loses every write since the last snapshot, if it makes snapshots',
      fix,
    )
  return save === ''
    ? warn(
        check,
        'doctor.persistence.none',
        'Redis has no persistence: the items in lists and claims are lost when it stops',
        fix,
      )
    : warn(
        check,
        'doctor.persistence.snapshots_only',
        `Redis only makes snapshots (save ${save}): a crash loses every write since the last one`,
        fix,
      )
}

/** Undefined when the server does not let ask: then less is said. */
async function tell(setting: Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await setting
  } catch (error) {
    if (isDenied(error) || isUnknown(error)) return undefined
    throw error
  }
}
