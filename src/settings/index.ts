/** Reads the settings that functions, read model and API share on every platform. */
export { FunctionsError } from './function-error.ts'
export { provideSettings, setting, type Env, type ReadSetting } from './function-settings.ts'
export { readAbandonRule, readEvents, readMissingWait, readStoreOptions } from './function-settings.ts'
