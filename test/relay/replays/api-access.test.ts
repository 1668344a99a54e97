import { expect, test } from 'vitest'
import { createEnvReader, type EnvFault } from '../../../src/runtime/index.ts'
import { readApiAccess } from '../../../src/relay/config.ts'
import { createFetch } from '../../../src/relay/replays/replay-poller.ts'
import { useHttpProxy } from '../../support/http-proxy.ts'
import { useReplaysByHttp } from '../../support/replays-by-http.ts'

const TOKEN = 'o'.repeat(40)

function read(env: Record<string, string>) {
  const reader = createEnvReader(env)
  const access = readApiAccess(reader)
  try {
    reader.check()
    return access
  } catch (error) {
    return (error as { faults: readonly EnvFault[] }).faults.map(({ name, problem }) => `${name} ${problem}`)
  }
}

test('reads the address of the API and its token, or reports the faults of both without quoting the token', () => {
  expect(read({})).toBeUndefined()
  expect(read({ ENIGMA_API_URL: 'https://api.example.com/', ENIGMA_API_TOKEN: TOKEN })).toEqual({
    url: 'https://api.example.com',
    token: TOKEN,
  })
  expect(read({ ENIGMA_API_URL: 'https://api.example.com' })).toEqual(['ENIGMA_API_TOKEN is not set'])
  expect(read({ ENIGMA_API_TOKEN: TOKEN })).toEqual(['ENIGMA_API_TOKEN is set without ENIGMA_API_URL'])
  expect(read({ ENIGMA_API_URL: 'api.example.com', ENIGMA_API_TOKEN: TOKEN })).toEqual([
    'ENIGMA_API_URL is not an http:// or https:// URL',
  ])
  expect(read({ ENIGMA_API_URL: 'https://u:p@x.test', ENIGMA_API_TOKEN: 'jane: operate' })).toEqual([
    'ENIGMA_API_URL contains more than the address of the API',
    'ENIGMA_API_TOKEN contains characters that a token cannot have',
  ])
})

test('asks the API through the proxy, and directly if the host is excepted', { timeout: 30_000 }, async () => {
  const proxy = await useHttpProxy()
  proxy.state.authorization = 'Basic dTpw'
  const { apiUrl } = await useReplaysByHttp()
  const through = { url: proxy.url, authorization: 'Basic dTpw' }
  const access = createFetch({ http: through, https: undefined, except: '' })
  expect((await access.fetch(`${apiUrl}/health`, {})).status).toBe(200)
  expect(proxy.seen).toEqual([`GET ${apiUrl}/health`])
  access.close()
  const direct = createFetch({ http: through, https: undefined, except: '127.0.0.1' })
  expect((await direct.fetch(`${apiUrl}/health`, {})).status).toBe(200)
  expect(proxy.seen).toHaveLength(1)
})
