# Freezes tests/reference/survival_rows.csv and survival.json: R's survival package on trials and cohorts that it ships,
# and on the two that lifelines ships. Debian: r-base-core, r-cran-survival, r-cran-jsonlite.
#
#   python -c "import lifelines.datasets as d; d.load_rossi().to_csv('rossi.csv'); d.load_gbsg2().to_csv('gbsg2.csv')"
#   Rscript tests/reference/make_survival.R FOLDER_OF_THESE_TWO tests/reference
library(survival)
library(jsonlite)

folders <- commandArgs(trailingOnly = TRUE)
rossi <- read.csv(file.path(folders[1], "rossi.csv"))
gbsg2 <- read.csv(file.path(folders[1], "gbsg2.csv"))
pbc <- survival::pbc[1:312, ]

# Whole units of time, so that durations are columns of a life table: days of pbc, lung and gbsg2 become weeks, rounded up.
weeks <- function(days) ceiling(days / 7)
rows <- list(
    lung = data.frame(time = weeks(lung$time), had = lung$status == 2, treated = lung$sex == 2),
    pbc = data.frame(time = weeks(pbc$time), had = pbc$status == 2, treated = pbc$trt == 1),
    veteran = data.frame(time = veteran$time, had = veteran$status == 1, treated = veteran$trt == 2),
    rossi = data.frame(time = rossi$week, had = rossi$arrest == 1, treated = rossi$fin == 1),
    gbsg2 = data.frame(time = weeks(gbsg2$time), had = gbsg2$cens == 1, treated = gbsg2$horTh == "yes"),
    aml = data.frame(time = aml$time, had = aml$status == 1, treated = aml$x == "Maintained")
)
cuts <- list(lung = c(26, 52), pbc = c(104, 260), veteran = c(60, 180), rossi = c(13, 26), gbsg2 = c(104, 208), aml = c(12, 24))

frozen <- function(name) {
    data <- rows[[name]]
    tau <- min(tapply(data$time, data$treated, max))
    curves <- survfit(Surv(time, had) ~ treated, data, conf.type = "log-log")
    at <- sort(unique(round(quantile(data$time[data$had & data$time < tau], c(.1, .3, .5, .7, .9)))))
    shown <- summary(curves, times = at, extend = TRUE)
    side <- function(level) {
        kept <- shown$strata == paste0("treated=", level)
        data.frame(t = shown$time[kept], survival = shown$surv[kept], se = shown$std.err[kept],
                   low = shown$lower[kept], high = shown$upper[kept])
    }
    means <- summary(curves, rmean = tau)$table
    test <- survdiff(Surv(time, had) ~ treated, data)
    fit <- coxph(Surv(time, had) ~ treated, data, ties = "efron", control = coxph.control(eps = 1e-12, iter.max = 50))
    split <- survSplit(Surv(time, had) ~ treated, data, cut = cuts[[name]], episode = "period")
    periods <- lapply(1:3, function(number) {
        part <- coxph(Surv(tstart, time, had) ~ treated, split[split$period == number, ],
                      control = coxph.control(eps = 1e-12, iter.max = 50))
        c(coef(part), sqrt(diag(vcov(part))))
    })
    list(
        tau = tau, cuts = cuts[[name]], control = side(FALSE), treatment = side(TRUE),
        rmst = list(control = means[1, "rmean"], control_se = means[1, "se(rmean)"],
                    treatment = means[2, "rmean"], treatment_se = means[2, "se(rmean)"]),
        median = c(means[1, "median"], means[2, "median"]),
        logrank = list(chi2 = test$chisq, p = pchisq(test$chisq, 1, lower.tail = FALSE), observed = test$obs, expected = test$exp),
        cox = list(log = unname(coef(fit)), se = sqrt(vcov(fit)[1, 1])),
        zph_identity = unname(cox.zph(fit, transform = "identity")$table[1, c("chisq", "p")]),
        zph_km = unname(cox.zph(fit, transform = "km")$table[1, c("chisq", "p")]),
        periods = lapply(periods, unname)
    )
}

adjusted <- coxph(Surv(week, arrest) ~ fin + age + prio, rossi, control = coxph.control(eps = 1e-12, iter.max = 50))
everything <- coxph(Surv(week, arrest) ~ fin + age + race + wexp + mar + paro + prio, rossi)
result <- c(
    list(versions = list(R = as.character(getRversion()), survival = as.character(packageVersion("survival")))),
    setNames(lapply(names(rows), frozen), names(rows)),
    list(rossi_adjusted = list(age_prio = c(coef(adjusted)[[1]], sqrt(vcov(adjusted)[1, 1])),
                               all = c(coef(everything)[[1]], sqrt(vcov(everything)[1, 1]))))
)
write(toJSON(result, auto_unbox = TRUE, digits = 15, pretty = TRUE), file.path(folders[2], "survival.json"))
exact <- list(lung = lung$time, pbc = pbc$time)
table <- do.call(rbind, lapply(names(rows), function(name) {
    days <- if (is.null(exact[[name]])) NA else exact[[name]]
    cbind(data = name, rows[[name]], days = days)
}))
write.csv(table, file.path(folders[2], "survival_rows.csv"), row.names = FALSE, quote = FALSE, na = "")
