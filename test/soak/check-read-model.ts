import type { Broken } from './broken.ts'
import type { Functions } from './functions.ts'
import type { ReadModel } from './read-model.ts'

/** Checks G4: each effect is in the read model once, and no older state has replaced a newer one. */
export async function checkReadModel(
  { store }: ReadModel,
  { effects, handled }: Functions,
  broken: Broken,
): Promise<void> {
  const { committed, attempted } = effects
  for (const [reference, least] of committed.statuses) {
    const most = attempted.statuses.get(reference) ?? least
    const shown = (await store.read.agent(reference))?.states.find(({ campaign_ref }) => campaign_ref === '7')?.status
    const n = Number(/^soak-pubsub-(\d+)-$/.exec(shown ?? '')?.[1])
    if (!(n >= least && n <= most))
      broken.add(
        'G4 effects',
        `agent ${reference} is shown as ${shown ?? 'nothing'}, and the last status that was written is that of pubsub ${least}`,
      )
  }
  for (const list of ['main', 'shared'] as const) {
    const campaign = await store.read.campaign(list)
    const counted = (campaign?.counts ?? []).reduce((sum, { count }) => sum + count, 0)
    const [least, most] = [committed.cdrs.get(list)?.size ?? 0, attempted.cdrs.get(list)?.size ?? 0]
    if (counted < least || counted > most)
      broken.add('G4 effects', `of ${list} ${counted} CDRs are counted; ${least} were written, ${most} at most`)
    if (counted < handled[list])
      broken.add('G4 effects', `of ${list} ${counted} CDRs are counted, and ${handled[list]} were handled`)
  }
}
