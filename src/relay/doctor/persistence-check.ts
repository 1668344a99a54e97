import { fail, ok, warn, type Finding } from './finding.ts'
import type { SourceView } from './source-view.ts'
import { isDenied, isUnknown } from '../redis-advice.ts'

/** Whether what waits in lists and claims is still there when Redis starts again. */
export async function checkPersistence({ name, info, setting, cli }: SourceView): Promise<Finding> {
  const [aof, lastSave, lastWrite, loading] = await Promise.all(
    ['aof_enabled', 'rdb_last_bgsave_status', 'aof_last_write_status', 'loading'].map((field) => info(field)),
  )
  const check = name('persistence')
  const dir = async () => (await tell(setting('dir'))) ?? 'its data folder'
  if (loading === '1')
    return warn(check, 'doctor.persistence.loading', 'Redis is reading its data from disk: it takes nothing yet')
  if (aof === '1' && lastWrite !== undefined && lastWrite !== 'ok')
    return fail(
      check,
      'doctor.persistence.append_failed',
      `Redis could not write its append-only file in ${await dir()} and refuses writes`,
      'free the disk of Redis',
    )
  // Redis refuses every write after a snapshot that failed, unless it is told not to.
  if (lastSave !== undefined && lastSave !== 'ok') {
    return (await tell(setting('stop-writes-on-bgsave-error'))) === 'no'
      ? warn(
          check,
          'doctor.persistence.snapshot_failed',
          `the last snapshot could not be written in ${await dir()}`,
          'free the disk of Redis',
        )
      : fail(
          check,
          'doctor.persistence.writes_refused',
          `the last snapshot could not be written in ${await dir()}, and Redis refuses writes`,
          'free the disk of Redis',
        )
  }
  if (aof === '1') return ok(check, 'append-only file, the last write succeeded')
  const fix = `${cli('CONFIG SET appendonly yes')} && ${cli('CONFIG REWRITE')}`
  const save = await tell(setting('save'))
  if (save === undefined)
    return warn(
      check,
      'doctor.persistence.no_append_file',
      'no append-only file: a crash of Redis loses what came since the last snapshot, if it makes any',
      fix,
    )
  return save === ''
    ? warn(check, 'doctor.persistence.none', 'none: what waits in lists and claims is lost when Redis ends', fix)
    : warn(
        check,
        'doctor.persistence.snapshots_only',
        `snapshots only (save ${save}): a crash of Redis loses what came since the last one`,
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
