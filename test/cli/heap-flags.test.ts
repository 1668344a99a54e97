import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { useRedisServer } from '../support/redis.ts'
import { useFolder } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

test('the relay runs with its heap flags under its first process id, and exits with 0 on SIGTERM', async () => {
  const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
  const relay = startRelayProcess({ redisUrl: redis.url, endpoint: sqs.endpoint, dataDir })
  await relay.ready()
  const command = (await readFile(`/proc/${relay.pid}/cmdline`, 'utf8')).split('\0')
  expect(command.filter((word) => word.startsWith('--max-semi-space-size'))).toHaveLength(1)
  expect(command).toContain('--conditions=source')
  const variables = (await readFile(`/proc/${relay.pid}/environ`, 'utf8')).split('\0')
  expect(variables).toContain('MALLOC_TRIM_THRESHOLD_=131072')
  expect(await relay.kill('SIGTERM')).toEqual({ code: 0, signal: null, errors: '' })
})
