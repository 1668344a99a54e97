import { OUTCOMES_TYPE, type Routes } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { looseFiles } from '../redis/address.ts'
import { authorize, CONTENT_TYPE } from '../targets/http/http-target.ts'
import { adviseTarget, nameOf, readOutcomes, TargetError, type Place } from '../targets/http/http-verdict.ts'
import type { HttpAnswer, HttpHandler } from '../targets/http-handler.ts'
import { proxyFor } from '../targets/http-proxy.ts'
import { createTargetClient, placeOf } from '../targets/open-targets.ts'
import { fail, makeChecks, ok, warn, wordsOf, type Diagnosis, type Finding } from './check.ts'

/** How long (ms) a target may take to answer: a function may have to start. */
const MAX_TARGET_MS = 10_000

/** A batch without events: it is signed as any other, and nothing follows from it. */
const EMPTY_BATCH = Buffer.from('[]')

/** Everything about the HTTP targets, each address once. Sends an empty batch. Never throws. */
export async function examineTargets(
  config: RelayConfig,
  routes: Routes,
  now: () => number,
): Promise<readonly Finding[]> {
  const places = new Map<string, Place>()
  for (const route of routes.all) {
    const { url, variable } = placeOf(config, route)
    if (url !== 'sqs' && !places.has(url.href)) places.set(url.href, { url, variable })
  }
  if (places.size === 0) return []
  const http = createTargetClient(config, { requestTimeoutMs: MAX_TARGET_MS })
  const all = [...places.values()]
  try {
    return await makeChecks('target', {
      access: () => checkAccess(config, all),
      ...Object.fromEntries(all.map((place) => [place.variable, () => checkTarget(config, place, http, now)])),
    })
  } finally {
    http.destroy()
  }
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** Whether requests prove who sends them, and who may read what proves it. */
function checkAccess({ targets }: RelayConfig, places: readonly Place[]): Diagnosis[] {
  const { secret, secretFile, token, tokenFile, certFile, keyFile } = targets.access
  const findings: Diagnosis[] = []
  if ((secret ?? secretFile ?? token ?? tokenFile ?? certFile) === undefined) {
    const text =
      'requests to targets have neither a signature nor a token: anyone who can reach the functions can send to them'
    findings.push(warn('doctor.target.unsigned', text, 'set ENIGMA_TARGET_SECRET'))
  }
  const open = places.find(({ url }) => url.protocol === 'http:' && !LOOPBACK.test(url.hostname))
  if (open !== undefined) {
    const text = `notifications, including phone numbers, go to ${nameOf(open.url)} without TLS`
    findings.push(warn('doctor.target.plain_http', text, `write https:// in ${open.variable}`))
  }
  const loose = looseFiles([secretFile, tokenFile, keyFile])
  if (loose.length > 0)
    findings.push(
      warn(
        'doctor.secrets.readable',
        `every user of this host can read ${loose.join(', ')}`,
        `chmod 600 ${loose.join(' ')}`,
      ),
    )
  return findings.length > 0 ? findings : [ok('requests to targets are authenticated')]
}

async function checkTarget(
  { targets, proxies }: RelayConfig,
  place: Place,
  http: Pick<HttpHandler, 'send'>,
  now: () => number,
): Promise<Diagnosis | Diagnosis[]> {
  const { url } = place
  const proxy = proxyFor(url.origin, proxies)
  const at = `${nameOf(url)}${proxy === undefined ? '' : ` (through the proxy ${proxy.url})`}`
  try {
    const signed = authorize(targets.access, { id: 'doctor', timeMs: now(), body: EMPTY_BATCH })
    const headers = { 'content-type': CONTENT_TYPE, 'ce-attempt': '1', ...signed }
    const request = { path: url.pathname + url.search, method: 'POST', headers, body: EMPTY_BATCH }
    const from = performance.now()
    const answer = await http.send(url.origin, request, { limitMs: MAX_TARGET_MS })
    const ms = Math.round(performance.now() - from)
    return [judgeAnswer(answer, at, ms), ...checkTargetClock(answer.headers['date'], now())]
  } catch (error) {
    const { code, says, fix } = adviseTarget(error, place)
    const words = error instanceof TargetError ? '' : ` (${wordsOf(error)})`
    return fail(codeOf(code), `${says}${words}`, fix)
  }
}

/** The same codes as in the relay's log. */
const codeOf = (code: string) =>
  code === 'relay.proxy.refused' ? ('doctor.proxy.unusable' as const) : (`doctor.target.${code.split('.')[2]}` as const)

/** @throws TargetError for what would be an outage */
function judgeAnswer(answer: HttpAnswer, at: string, ms: number): Diagnosis {
  const { statusCode: status, headers } = answer
  if ([400, 413, 415, 422].includes(status)) {
    const text = `${at} answers, but does not accept an empty batch of CloudEvents (HTTP ${status}): whether it accepts notifications could not be checked`
    return warn('doctor.target.not_checked', text)
  }
  readOutcomes(answer, [])
  return headers['content-type']?.startsWith(OUTCOMES_TYPE) === true
    ? ok(`${at} answers after ${ms} ms, with an outcome for each notification`)
    : ok(`${at} answers after ${ms} ms; its status (HTTP ${status}) applies to all notifications of a request`)
}

/** Says nothing when the clocks agree, or the answer has no date. */
function checkTargetClock(date: string | undefined, nowMs: number): Diagnosis[] {
  const skewMs = nowMs - Date.parse(date ?? '')
  return Number.isNaN(skewMs) || Math.abs(skewMs) <= CLOCK_WARN_MS
    ? []
    : [judgeClock(skewMs, "the target's", 'servers reject')]
}
