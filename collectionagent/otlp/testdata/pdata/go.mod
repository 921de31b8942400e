module pdata

go 1.26.0
