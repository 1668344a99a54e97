/**
 * Tests that take minutes: `npm run proofs` runs them, `npm test` does not. Among them are most tests that need a browser, tests that follow
 * the docs in a clone or install packages, and tests with long faults or with hundreds of random faults and kills.
 */
export const SLOW = [
  'test/proofs/*.test.ts',
  'test/console/{cdrs,health,parked,wall}.test.ts',
  'test/flows/{commands,connections,half-open,journal-faults,missing-queue,privacy,read-model-faults,redis-faults,replay-http}.test.ts',
  'test/flows/{adoption,dev-bundles,documents,fuzz,random-kills,shutdown}.test.ts',
  'test/infra/{deploy,package}.test.ts',
  'test/relay/lists/memory.test.ts',
]
