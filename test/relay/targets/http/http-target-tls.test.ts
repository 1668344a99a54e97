import { copyFileSync, readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import type { Route } from '../../../../src/protocol/index.ts'
import { toTlsOptions } from '../../../../src/relay/redis/address.ts'
import { createHttpHandler } from '../../../../src/relay/targets/http-handler.ts'
import { readProxies } from '../../../../src/relay/targets/http-proxy.ts'
import { createHttpTarget } from '../../../../src/relay/targets/http/http-target.ts'
import type { TargetAccess } from '../../../../src/relay/targets/http/target-settings.ts'
import type { Target } from '../../../../src/relay/targets/target.ts'
import { createEnvReader } from '../../../../src/runtime/index.ts'
import { useHttpProxy } from '../../../support/http-proxy.ts'
import { useHttpTarget } from '../../../support/http-target.ts'
import { useFolder, waitFor } from '../../../support/relay.ts'
import { httpTargetOf, useSender } from '../../../support/sender.ts'
import { makeCertificates, signCertificate } from '../../../support/tls.ts'

const folder = async () => {
  const path = await useFolder()
  return { path, ca: await makeCertificates(path) }
}
const read = ({ certFile, keyFile }: { readonly certFile: string; readonly keyFile: string }) => ({
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
})

/** Sends one notification to a target that cannot be used, and returns what the log says of it. */
async function problemOf(toTarget: (route: Route) => Target) {
  const { push, sender, lines, settled } = useSender(toTarget)
  push('1000', 0)
  await waitFor(() => sender.status.failingSince !== undefined, 'the problem')
  expect(settled).toEqual([])
  return {
    code: lines.map((line) => /relay\.target\.\w+/.exec(line)?.[0]).find((code) => code !== undefined),
    text: sender.status.problem,
  }
}

test('a target with its own CA accepts the client certificate; a missing one is reported with its setting', async () => {
  const { path, ca } = await folder()
  const client = await signCertificate(path, 'ca', 'client')
  const server = await useHttpTarget({
    ...read(ca),
    ca: readFileSync(ca.caFile),
    requestCert: true,
    rejectUnauthorized: true,
  })
  const access = { caFile: ca.caFile, ...client }
  const { push, drained } = useSender((route) => httpTargetOf(route, server.url, access))
  push('1000', 0)
  await drained()
  expect(server.finished).toHaveLength(1)
  const without = await problemOf((route) => httpTargetOf(route, server.url, { caFile: ca.caFile }))
  expect(without).toMatchObject({
    code: 'relay.target.tls_client_certificate',
    text: expect.stringContaining('ENIGMA_TARGET_CERT'),
  })
})

test('each TLS fault is reported with its own fix', async () => {
  const { path, ca } = await folder()
  const plain = await useHttpTarget()
  const sound = await useHttpTarget(read(ca))
  const expired = await useHttpTarget(read(await signCertificate(path, 'ca', 'expired', { days: -1 })))
  const other = await useHttpTarget(read(await signCertificate(path, 'ca', 'other', { altName: 'DNS:example.com' })))
  const access: TargetAccess = { caFile: ca.caFile }
  const of = (url: string, more = access) => problemOf((route) => httpTargetOf(route, url, more))
  expect(await of(sound.url, {})).toMatchObject({
    code: 'relay.target.tls_untrusted',
    text: expect.stringContaining('ENIGMA_TARGET_CA'),
  })
  expect(await of(expired.url)).toMatchObject({
    code: 'relay.target.tls_expired',
    text: expect.stringContaining('renew'),
  })
  expect(await of(other.url)).toMatchObject({
    code: 'relay.target.tls_host_name',
    text: expect.stringContaining('host name'),
  })
  expect(await of(plain.url.replace('http:', 'https:'))).toMatchObject({ code: 'relay.target.plain_port' })
  const toTls = await of(sound.url.replace('https:', 'http:'))
  expect(toTls.text).toMatch(/https:\/\//)
  expect([plain, sound, expired, other].flatMap(({ requests }) => requests)).toEqual([])
})

test('a missing certificate file is logged, and a later connection reads the restored file', async () => {
  const { path, ca } = await folder()
  const server = await useHttpTarget(read(ca))
  const file = `${path}/later.pem`
  const { push, drained, sender, coded } = useSender((route) => httpTargetOf(route, server.url, { caFile: file }))
  push('1000', 0)
  await waitFor(() => sender.status.failingSince !== undefined, 'the problem')
  expect(coded('relay.target.no_secret')).toHaveLength(1)
  copyFileSync(ca.caFile, file)
  await drained()
  expect(server.finished).toHaveLength(1)
})

test('requests go through the proxy that the environment names, with and without TLS', async () => {
  const { ca } = await folder()
  const proxy = await useHttpProxy()
  const env = { HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url }
  const proxies = readProxies(env, createEnvReader(env))
  for (const server of [await useHttpTarget(read(ca)), await useHttpTarget()]) {
    const http = createHttpHandler({ proxies, requestTimeoutMs: 5_000, tls: toTlsOptions({ caFile: ca.caFile }) })
    onTestFinished(() => http.destroy())
    const { push, drained } = useSender((route) =>
      createHttpTarget({ route, url: new URL(server.url), access: {}, http }),
    )
    push('1000', 0)
    await drained()
    expect(server.finished).toHaveLength(1)
    expect(proxy.seen.filter((line) => line.includes(String(server.port)))).toHaveLength(1)
  }
  proxy.state.status = 403
  const server = await useHttpTarget()
  const http = createHttpHandler({ proxies, requestTimeoutMs: 5_000 })
  onTestFinished(() => http.destroy())
  const { push, parked, sender } = useSender((route) =>
    createHttpTarget({ route, url: new URL(server.url.replace('http:', 'https:')), access: {}, http }),
  )
  push('1000', 0)
  await waitFor(() => sender.status.failingSince !== undefined, 'the problem')
  expect(sender.status.problem).toMatch(/proxy refused to connect to the server \(403\).*NO_PROXY/)
  expect(parked).toEqual([])
})
