/**
 * Tests that take minutes: `npm run proofs` runs them, `npm test` does not. Most of what needs a browser, the documents followed in a clone, packages that are
 * installed, faults that have to last, and hundreds of faults and kills at random.
 */
export const SLOW = [
  'test/proofs/*.test.ts',
  'test/console/{cdrs,health,parked,wall}.test.ts',
  'test/flows/{commands,connections,half-open,journal-faults,missing-queue,privacy,read-model-faults,redis-faults,replay-http}.test.ts',
  'test/flows/{adoption,dev-bundles,documents,fuzz,random-kills,shutdown}.test.ts',
  'test/infra/{deploy,package}.test.ts',
  'test/relay/lists/memory.test.ts',
]
