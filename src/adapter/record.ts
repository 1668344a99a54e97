import type { Delivery } from './delivery.ts'
import { AdapterError } from './errors.ts'

/**
 * Notes an effect. A handler writes nothing itself: what all handlers of a batch recorded is committed in one go, before outcomes
 * are reported. Effects recorded before a step that fails stay; what is recorded after the answer or the time limit is not kept.
 *
 * @example record(c, { kind: 'agent-status', ref: status.reference, to: status.payload.status })
 * @throws AdapterError `adapter.record.no_commit` when the app runs neither behind `fromSqs` nor behind `fromHttp`
 */
export function record<Effect>(
  c: { readonly env: { readonly enigma?: Delivery<Effect> } },
  effect: NoInfer<Effect>,
): void {
  const delivery = c.env?.enigma
  if (delivery === undefined) {
    throw new AdapterError(
      'adapter.record.no_commit',
      'record(c, effect) was called outside fromSqs and fromHttp, so nothing would commit the effect: run the app by one of them',
    )
  }
  delivery.record(effect)
}
