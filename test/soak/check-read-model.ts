import type { Broken } from './broken.ts'
import type { Functions } from './functions.ts'
import type { ReadModel } from './read-model.ts'

/** G4: what the functions have done is in the read model once, and nothing older lies over what is newer. */
export async function checkReadModel({ store }: ReadModel, { statuses, cdrs }: Functions, broken: Broken): Promise<void> {
  for (const [reference, n] of statuses) {
    const agent = await store.read.agent(reference)
    const shown = agent?.states.find(({ campaign_ref }) => campaign_ref === '7')?.status
    if (shown !== `soak-pubsub-${n}-`) broken.add('G4 effects', `agent ${reference} is shown as ${shown ?? 'nothing'}, and the last status was that of pubsub ${n}`)
  }
  for (const list of ['main', 'shared'] as const) {
    const campaign = await store.read.campaign(list)
    const counted = (campaign?.counts ?? []).reduce((sum, { count }) => sum + count, 0)
    if (counted !== cdrs[list]) broken.add('G4 effects', `of ${list} ${counted} CDRs are counted, and ${cdrs[list]} were handled`)
  }
}
