// Where this file is, in CommonJS.
export const here: string = __dirname
