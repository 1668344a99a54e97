import type { SourceConfig } from '../config.ts'
import { within } from './check.ts'
import { askIdentity, askRunId, identityOf, judgeIdentity, sameServer, type Refusal } from '../redis/source-identity.ts'
import { fail, ok, type Finding } from './finding.ts'
import { ANSWER_MS, type SourceView } from './source-view.ts'

/** Source id → the run id of its server, undefined when it is not told. Shared by the checks of all sources, which wait for each other's. */
export type Others = ReadonlyMap<string, PromiseWithResolvers<string | undefined>>

export const createOthers = (sources: readonly SourceConfig[]): Others =>
  new Map(sources.map(({ id }) => [id, Promise.withResolvers()]))

/** Whether this server is the one that relays call by this name, and no other source of ENIGMA_SOURCES is the same. */
export async function checkIdentity({ name, source, client }: SourceView, others: Others): Promise<Finding> {
  const check = name('source')
  const runId = await within(ANSWER_MS, askRunId(client))
  others.get(source.id)?.resolve(runId)
  const { name: kept } = await within(ANSWER_MS, askIdentity(client, source, false))
  const twins: string[] = []
  for (const [id, { promise }] of others)
    if (id !== source.id && runId !== undefined && (await promise) === runId) twins.push(id)
  const refuse = ({ event, text, fix }: Refusal) => fail(check, `doctor.source.${event}`, text, fix)
  if (kept === identityOf(source)) return ok(check, `relays use the source id ${source.id} for this Redis`)
  const refusal = kept === '' ? undefined : judgeIdentity(source, (id) => twins.includes(id), kept)
  if (refusal !== undefined) return refuse(refusal)
  // Of two the first may stay.
  const ids = [...others.keys()]
  const twin = twins.find((id) => ids.indexOf(id) < ids.indexOf(source.id))
  if (twin !== undefined) return refuse(sameServer(source.id, twin))
  return ok(check, `no relay has used this Redis yet; its source id will be ${source.id}`)
}
