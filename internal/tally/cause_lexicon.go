// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import "strings"

// leadOf says what a word announces.
func leadOf(word string) lead {
	switch {
	case isCodeWord(word):
		return leadCode
	case isFailureWord(word):
		return leadFailure
	case isDeviceWord(word):
		return leadDevice
	case isAddressWord(word):
		return leadAddress
	}
	return leadNone
}

// isCodeWord says whether a word announces a code: one of these, in the languages that are likely, or a compound that
// ends in one, as errorCode and 下载失败错误码.
func isCodeWord(word string) bool {
	lower := strings.ToLower(word)
	switch lower {
	case "decode", "encode", "barcode":
		return false
	case "code", "codes", "error", "err", "er", "ec", "e", "errno", "errcode",
		"http", "https", "coap", "ftp", "tftp", "smtp", "sip",
		"status", "ret", "rc", "res", "result", "reason", "cause", "exit", "exited", "signal", "alert", "alarm",
		"fault", "exception", "panic", "returned", "returns", "return", "responded", "response", "resp", "rsp", "answer",
		"answered", "state", "stage", "step", "phase", "type",
		"fehler", "fehlercode", "fehlernummer", "erreur", "código", "codigo", "erro", "errore", "codice", "fout",
		"foutcode", "fel", "felkod", "kod", "kód", "kode", "koodi", "kodu", "hata", "błąd", "błędu", "chyba",
		"virhe", "hiba", "kesalahan", "galat", "lỗi", "mã", "ошибка", "ошибки", "код", "кодом", "статус", "помилка",
		"خطأ", "الخطأ", "رمز", "त्रुटि",
		"कोड":
		return true
	}
	if endsIn(lower, "code", "error", "errno", "status") {
		return true
	}
	word = strings.TrimRight(word, "为為是은는") // "is"
	return !endsIn(word, "号码", "號碼", "条码", "條碼", "密码", "密碼", "验证码", "识别码", "校验码", "编码", "解码") &&
		endsIn(word, "码", "碼", "代码", "代碼", "代号", "代號", "错误", "錯誤", "状态", "狀態", "返回", "返回值", "原因", "故障",
			"异常", "異常", "结果", "結果", "エラー", "コード", "ステータス", "오류", "에러", "코드", "상태")
}

// isFailureWord says whether a code may follow a word without being announced: "curl: (7)", "download failed: -5".
func isFailureWord(word string) bool {
	switch strings.ToLower(word) {
	case "fail", "failed", "failure", "failing", "curl", "unsuccessful", "abort", "aborted", "nack", "nok",
		"rejected", "refused",
		"fehlgeschlagen", "échec", "echec", "falló", "fallo", "falha", "fallito", "сбой", "неудача":
		return true
	}
	return endsIn(word, "失败", "失敗", "실패")
}

// isDeviceWord says whether an id follows a word, whatever it looks like.
func isDeviceWord(word string) bool {
	switch strings.ToLower(word) {
	case "device", "dev", "gateway", "gw", "node", "meter", "mtr", "unit", "sensor", "terminal", "serial", "sn", "id",
		"uid", "uuid", "imei", "imsi", "iccid", "msisdn", "mac", "host", "from", "client", "endpoint", "ep", "cell",
		"cpe", "ue", "station", "sta", "eui", "deveui", "devaddr", "token", "session", "key", "gerät", "geraet",
		"dispositivo",
		"устройство", "устройства":
		return true
	}
	return endsIn(word, "Id", "ID", "SN", "设备", "設備", "终端", "終端", "网关", "表号", "编号", "序列号", "デバイス", "端末",
		"장치", "기기")
}

// isAddressWord says whether an address, a place in the memory or in a file, or a checksum follows a word.
func isAddressWord(word string) bool {
	switch strings.ToLower(word) {
	case "at", "offset", "off", "addr", "address", "adresse", "ptr", "pointer", "pc", "lr", "sp", "crc", "checksum",
		"sum", "expected", "got", "actual", "calculated", "read", "wrote", "block", "sector", "page", "line", "mismatch",
		"vs":
		return true
	}
	return endsIn(word, "地址", "偏移") || strings.Contains(word, "校验")
}

// isFiller says whether a word may stand between the one that announces a code and the code. It is in small letters.
func isFiller(word string) bool {
	switch word {
	case "is", "was", "with", "by", "no", "nr", "n", "num", "number", "value", "ist", "lautet", "est", "es", "é",
		"numéro", "número", "номер", "равен", "رقم":
		return true
	}
	return false
}

// isUnit says whether a word in small letters after a number makes it an amount.
func isUnit(word string) bool {
	switch word {
	case "b", "kb", "mb", "gb", "kib", "mib", "gib", "byte", "octets", "s", "sec", "ms", "us", "ns", "min", "h", "hr",
		"v", "mv", "ma", "db", "dbm", "hz", "khz", "mhz", "kbps", "mbps", "bps", "rpm", "percent",
		"sekunden", "minuten", "stunden", "segundos", "secondes", "secondi", "секунд", "минут", "байт",
		"раз", "попыток", "устройств":
		return true
	}
	return endsIn(word, "bytes", "bits", "seconds", "minutes", "hours", "days", "times", "attempts", "retries",
		"devices", "blocks", "packets", "files", "pages", "sectors", "records", "lines")
}

// endsIn says whether a word ends in one of the others.
func endsIn(word string, ends ...string) bool {
	for _, end := range ends {
		if strings.HasSuffix(word, end) {
			return true
		}
	}
	return false
}
