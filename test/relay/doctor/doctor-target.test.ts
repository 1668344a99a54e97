import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { examine } from '../../../src/relay/doctor/doctor.ts'
import { examineTargets } from '../../../src/relay/doctor/target-checks.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { byCheck } from '../../support/doctor.ts'
import { OUTCOMES, useHttpTarget, type TargetAnswer } from '../../support/http-target.ts'
import { useFolder } from '../../support/relay.ts'
import { useReservedPort } from '../../support/reserved-port.ts'
import { ROUTES } from '../../support/routes.ts'
import { makeCertificates } from '../../support/tls.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

const lookAt = async (env: Record<string, string>, now: () => number = Date.now) =>
  byCheck(await examineTargets(readConfig({ AWS_REGION: 'none', ...env }, ROUTES), ROUTES, now))

test('a target that answers passes; doctor sends it one signed request without events', async () => {
  const server = await useHttpTarget()
  const found = await lookAt({ ENIGMA_TARGET: server.url, ENIGMA_TARGET_SECRET: SECRET })
  expect(found).toMatchObject({ 'target/access': [{ state: 'ok' }], 'target/ENIGMA_TARGET': [{ state: 'ok' }] })
  expect(found['target/ENIGMA_TARGET']?.[0]?.text).toMatch(/for each notification/)
  expect(server.requests).toMatchObject([
    { events: [], headers: { 'webhook-id': 'doctor' }, path: '/enigma?stage=test' },
  ])
  const [request] = server.requests
  const headers = request?.headers as Record<string, string>
  expect(new Webhook(SECRET).verify(String(request?.body), headers)).toEqual([])
})

test.each([
  [{ status: 401 }, 'fail', 'doctor.target.unauthorized', /ENIGMA_TARGET_SECRET/],
  [{ status: 403 }, 'fail', 'doctor.target.forbidden', /allow the relay/],
  [{ status: 404 }, 'fail', 'doctor.target.not_found', /correct the path in ENIGMA_TARGET/],
  [{ status: 301, headers: { location: '/new' } }, 'fail', 'doctor.target.redirected', /127\.0\.0\.1:\d+\/new/],
  [{ status: 500 }, 'fail', 'doctor.target.unavailable', /log of the server/],
  [{ status: 422 }, 'warn', 'doctor.target.not_checked', undefined],
  [{ status: 204 }, 'ok', undefined, undefined],
  [
    { status: 200, headers: { 'content-type': OUTCOMES }, body: '{}' },
    'fail',
    'doctor.target.foreign_answer',
    /update/,
  ],
] as const satisfies readonly (readonly [TargetAnswer, ...unknown[]])[])(
  'an answer of %o is %s',
  async (answer, state, code, fix) => {
    const server = await useHttpTarget()
    server.state.answer = () => answer
    const [found] = (await lookAt({ ENIGMA_TARGET: server.url }))['target/ENIGMA_TARGET'] ?? []
    expect([found?.state, found?.code]).toEqual([state, code])
    if (fix !== undefined) expect(found?.fix).toMatch(fix)
  },
)

test('each address is checked once, under the variable that names it; connection and TLS faults have different codes', async () => {
  const folder = await useFolder()
  const { certFile, keyFile } = await makeCertificates(folder)
  const tls = await useHttpTarget({ cert: readFileSync(certFile), key: readFileSync(keyFile) })
  const port = await useReservedPort()
  const found = await lookAt({
    ENIGMA_TARGET: `http://127.0.0.1:${port}/`,
    ENIGMA_TARGET_AGENTS_CALL: tls.url,
    ENIGMA_TARGET_AGENTS_STATS: tls.url,
  })
  expect(Object.keys(found).toSorted((a, b) => a.localeCompare(b))).toEqual([
    'target/access',
    'target/ENIGMA_TARGET',
    'target/ENIGMA_TARGET_AGENTS_CALL',
  ])
  expect(found['target/ENIGMA_TARGET']).toMatchObject([{ state: 'fail', code: 'doctor.target.unreachable' }])
  expect(found['target/ENIGMA_TARGET_AGENTS_CALL']).toMatchObject([
    { state: 'fail', code: 'doctor.target.tls_untrusted' },
  ])
  expect(found['target/access']).toMatchObject([{ code: 'doctor.target.unsigned' }])
})

test('a wrong clock is found from the date of the answer', async () => {
  const server = await useHttpTarget()
  const clockOf = async (offMs: number) =>
    (await lookAt({ ENIGMA_TARGET: server.url }, () => Date.now() + offMs))['target/ENIGMA_TARGET']?.map(
      ({ code }) => code,
    )
  expect(await clockOf(0)).toEqual([undefined])
  expect(await clockOf(120_000)).toEqual([undefined, 'doctor.clock.off'])
  expect(await clockOf(-600_000)).toEqual([undefined, 'doctor.clock.refused'])
})

test('if no route goes to SQS, doctor skips the SQS checks', async () => {
  const server = await useHttpTarget()
  const config = readConfig(
    { ENIGMA_TARGET: server.url, ENIGMA_SOURCES: `main=redis://127.0.0.1:${await useReservedPort()}` },
    ROUTES,
  )
  const checks: string[] = []
  for await (const { check } of examine({ config, routes: ROUTES })) checks.push(check)
  expect(checks.filter((check) => check.startsWith('sqs'))).toEqual([])
  expect(checks).toContain('target/ENIGMA_TARGET')
})
