import { expect, test } from 'vitest'
import { parseScripts } from '../../../src/relay/redis/relay-keys.ts'

test('a file has several scripts, each behind its name, and text before the first name belongs to none', () => {
  const texts = [
    '-- Leases.\n-- name: hold\nreturn 1\n\n-- name: release\n-- name:d badly\nreturn 2',
    '-- name: park\nreturn 3\n',
  ]
  expect([...parseScripts(texts)]).toEqual([
    ['hold', 'return 1\n\n'],
    ['release', '-- name:d badly\nreturn 2'],
    ['park', 'return 3\n'],
  ])
})

test('two scripts with the same name are refused, even in different files', () => {
  expect(() => parseScripts(['-- name: park\n', '-- name: hold\n-- name: park\n'])).toThrow(
    'two Lua scripts have the name park',
  )
})
